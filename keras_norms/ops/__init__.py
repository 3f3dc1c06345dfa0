"""Functions: the algebra of moments and the two passes over x."""

from keras_norms.engine.gelu_tanh import gelu_tanh
from keras_norms.engine.params import Params
from keras_norms.native.dispatch import using_native
from keras_norms.ops.feature_similarity import feature_similarity
from keras_norms.ops.group_normalization import group_normalization
from keras_norms.ops.instance_moments import instance_moments
from keras_norms.ops.normalize import normalize
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.affine import affine
from keras_norms.statistics.affine import affine_about
from keras_norms.statistics.affine import choose
from keras_norms.statistics.affine import where_present
from keras_norms.statistics.moments import Moments

__all__ = [
    "Coefficients",
    "Moments",
    "Params",
    "PooledAffine",
    "affine",
    "affine_about",
    "choose",
    "feature_similarity",
    "gelu_tanh",
    "group_normalization",
    "instance_moments",
    "normalize",
    "using_native",
    "where_present",
]
