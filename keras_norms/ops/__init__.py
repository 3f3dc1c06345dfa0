"""Functions: the moments algebra and the two passes over x."""

from keras_norms.ops.moments import Moments
from keras_norms.ops.moments import instance_moments
from keras_norms.ops.normalize import Coefficients
from keras_norms.ops.normalize import affine
from keras_norms.ops.normalize import group_normalization
from keras_norms.ops.normalize import normalize

__all__ = [
    "Coefficients",
    "Moments",
    "affine",
    "group_normalization",
    "instance_moments",
    "normalize",
]
