"""What the algebra ends in: center, scale and shift."""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_norms.ops.tables import is_number


class Coefficients(NamedTuple):
    """Tables, `[rows, channels]` or broadcastable to it, of

    y = activation((x - center) * scale + shift)
    """

    center: Any
    scale: Any
    shift: Any


def affine(moments, gamma=None, beta=None, epsilon=1e-3):
    """Coefficients of `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.

    Rows with nothing in them get zeros.
    """
    scale = ops.rsqrt(moments.variance + epsilon)
    if gamma is not None:
        scale = scale * gamma
    shift = -moments.residual * scale
    if beta is not None:
        shift = shift + beta
    # Without a mask, where there is nothing to count there is no y.
    if not is_number(moments.count):
        present = moments.count[:, None] > 0
        scale = ops.where(present, scale, 0.0)
        shift = ops.where(present, shift, 0.0)
    return Coefficients(moments.mean, scale, shift)
