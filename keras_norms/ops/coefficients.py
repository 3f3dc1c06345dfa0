"""What the algebra ends in: center, scale and shift."""

import dataclasses
from typing import Any
from typing import NamedTuple

from keras import ops

from keras_norms.ops.tables import column
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
    scale = inverse_deviation(moments, epsilon)
    if gamma is not None:
        scale = scale * gamma
    shift = -moments.residual * scale
    if beta is not None:
        shift = shift + beta
    return where_present(moments, Coefficients(moments.mean, scale, shift))


def inverse_deviation(moments, epsilon):
    """`1 / sqrt(variance + epsilon)`; finite for rows that hold nothing.

    Without an epsilon the root has no gradient at their variance of 0. It is
    not `rsqrt`: XLA's gradient of that cubes it, which leaves float32's range
    for deviations of 1e13.
    """
    count, variance = column(moments.count), moments.variance
    if not isinstance(count, (int, float)) or count == 0:
        variance = ops.where(count > 0, variance, 1.0)
    return 1.0 / ops.sqrt(variance + epsilon)


@dataclasses.dataclass(frozen=True)
class PooledAffine:
    """`affine` of each example's moments, pooled over groups of channels.

    An algebra that the native library knows as a whole.
    """

    groups: int
    epsilon: float

    def __call__(self, moments, gamma=None, beta=None):
        moments = moments.pool(groups=self.groups)
        return affine(moments, gamma, beta, self.epsilon)


def where_present(moments, coefficients):
    """Coefficients, but zeros of rows with nothing in them."""
    # Without a mask, where there is nothing to count there is no y.
    if is_number(moments.count):
        return coefficients
    center, *others = coefficients
    present = column(moments.count) > 0
    return Coefficients(center, *(ops.where(present, t, 0.0) for t in others))


def affine_about(own, deviation, moments, gamma=None, beta=None, epsilon=1e-3):
    """Coefficients of what is told from each row's own mean.

        gamma * (x - own mean + deviation) / sqrt(variance + epsilon) + beta

    with the variance of `moments`. A deviation is small where a mean may be
    large: `own.minus(moments)` gives `affine(moments, ...)`.
    """
    told = dataclasses.replace(
        moments, mean=own.mean, residual=own.residual - deviation
    )
    return affine(told, gamma, beta, epsilon)


def choose(condition, one, other):
    """One of two coefficients, whole."""
    tables = zip(one, other, strict=True)
    return Coefficients(*(ops.where(condition, a, b) for a, b in tables))
