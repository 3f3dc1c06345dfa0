"""Small tensors `[rows, channels]`: their dtype and how they broadcast."""

from typing import Any

import keras
from keras import ops

from keras_norms.native import tracing
from keras_norms.types import Tensor


def materialized(tensor: Tensor) -> Tensor:
    """Returns the tensor so that XLA computes it only once.

    XLA recomputes a small tensor for each of its uses, and may round it
    differently (by a fused multiply-add). The residual of a mean would then
    belong to another mean. XLA stores the results of reductions, and adding
    zeros changes no value.
    """
    if not tracing.compiling():
        return tensor
    return ops.sum(ops.stack([tensor, ops.zeros_like(tensor)]), axis=0)


def statistics_dtype(dtype: Any) -> str:
    """The dtype of the statistics: float64 for float64, otherwise float32."""
    float64 = keras.backend.standardize_dtype(dtype) == "float64"
    return "float64" if float64 else "float32"


def like(value: Tensor, other: Tensor) -> Tensor:
    """A tensor or a number in the shape and dtype of another tensor."""
    if getattr(value, "shape", None) == other.shape:
        return value
    return ops.zeros_like(other) + ops.cast(value, other.dtype)


def column(count: Tensor) -> Tensor:
    """A count or a weight that broadcasts against `[rows, channels]`.

    A scalar and a count per row and channel are returned unchanged.
    """
    if len(getattr(count, "shape", ())) != 1:
        return count
    return ops.expand_dims(count, 1)


def row_counts(count: Tensor) -> Tensor:
    """The inverse of `column`: `[rows]` where all channels share a count."""
    return ops.squeeze(count, 1) if count.shape[1] == 1 else count


def reciprocal(count: Tensor, dtype: Any) -> Tensor:
    """1 / count, or 1 where the count is 0. A number gives a number."""
    if isinstance(count, (int, float)):
        return 1.0 / max(count, 1)
    return 1.0 / ops.maximum(ops.cast(count, dtype), 1.0)


def is_scalar(value: Tensor) -> bool:
    return len(getattr(value, "shape", ())) == 0


def is_number(value: Any, number: float) -> bool:
    """Whether a value is not a tensor, and is this number."""
    return isinstance(value, (int, float)) and value == number


def is_exactly(size: Any, value: int) -> bool:
    """Whether a size is known when traced, and has this value."""
    return isinstance(size, int) and size == value


class _Untracked(float):
    """A residual of 0 that stays 0."""


# The residual of means whose rounding errors are not tracked.
UNTRACKED = _Untracked(0.0)


def residual_where(condition: Tensor, first: Any, second: Any) -> Any:
    """Chooses between two residuals, unless the first one is not tracked."""
    if first is UNTRACKED:
        return UNTRACKED
    return ops.where(condition, first, second)
