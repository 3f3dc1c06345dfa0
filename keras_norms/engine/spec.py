"""What the engine computes, as data."""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras_norms.engine.params import Params
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.moments import Moments

Algebra = Callable[[Moments, Params], Coefficients]


@dataclasses.dataclass(frozen=True)
class NormSpec:
    """A normalization as data: an algebra between two passes over x.

        moments = count, mean and variance of each row of x
        center, scale, shift = algebra(moments, params)
        y = activation((x - center) * scale + shift)

    Args:
        algebra: a function of `Moments` and `Params` that returns
            `Coefficients`, differentiable in both.
        axis: the channel axis.
        examples_per_row: how many examples share a row of the moments. `None`
            means that one row holds the whole batch.
        needs_moments: whether the algebra reads moments. Without them, pass 1
            is skipped and the algebra receives `None`.
        activation: a differentiable function of one tensor, or `None`.
        dtype: the dtype of y, or `None` for the dtype of x.
    """

    algebra: Algebra
    axis: int = -1
    examples_per_row: int | None = 1
    needs_moments: bool = True
    activation: Callable[[Any], Any] | None = None
    dtype: str | None = None
