"""Functions: the moments algebra and the two passes over x."""

from keras_norms.ops.coefficients import Coefficients
from keras_norms.ops.coefficients import affine
from keras_norms.ops.group_normalization import group_normalization
from keras_norms.ops.instance_moments import instance_moments
from keras_norms.ops.moments import Moments
from keras_norms.ops.normalize import normalize

__all__ = [
    "Coefficients",
    "Moments",
    "affine",
    "group_normalization",
    "instance_moments",
    "normalize",
]
