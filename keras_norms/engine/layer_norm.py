"""Layer normalization: statistics over some axes of each example.

Gamma and beta have an element for each normalized position, so this is not a
`NormSpec`, whose coefficients have one for each channel. The native library
computes it as group normalization of one group in rows of one position.
"""

import math
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.engine.normalize import normalize
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native import dispatch
from keras_norms.native import tracing
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Tensor


def layer_normalize(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    axes: Sequence[int],
    epsilon: float,
    activation: Callable[[Tensor], Tensor] | None = None,
    dtype: str | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Computes `activation(gamma (x - mean) / sqrt(var + epsilon) + beta)`.

    Args:
        x: a tensor of rank 2 or more, of any real dtype.
        gamma, beta: tensors with the sizes of the axes, or `None`.
        axes: the normalized axes, ascending and without the batch axis. Their
            sizes must be known.
        epsilon: is added to the variance.
        activation: a function of one tensor, or `None`.
        dtype: the dtype of the result, or `None` for that of x.
        mask: a boolean tensor over leading axes of x, or `None`.
    """
    x, mask = validation.inputs(x, mask, -1)
    if not keras.backend.is_float_dtype(x.dtype):
        x = ops.cast(x, statistics_dtype(x.dtype))
    dtype = dtype or keras.backend.standardize_dtype(x.dtype)
    gamma, beta = (
        None if each is None else ops.cast(each, statistics_dtype(x.dtype))
        for each in (gamma, beta)
    )
    if mask is not None:
        usable = ops.logical_or(_expanded(mask, x), ops.isfinite(x))
        x = ops.where(usable, x, ops.zeros_like(x))
        if len(mask.shape) <= axes[0]:
            # Whole rows are masked, and no other row depends on them.
            mask = None
    settings = axes, epsilon, activation, dtype
    if mask is None and dispatch.load_if_supported(
        x.shape, x.dtype, on_gpus=False
    ):
        return _native(x, gamma, beta, *settings)
    return _composed(x, gamma, beta, *settings, mask)


def _native(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    axes: Sequence[int],
    epsilon: float,
    activation: Any,
    dtype: str,
) -> Tensor:
    """Normalizes rows that are contiguous in memory."""
    from keras_norms.native.ops import activation as native_name

    others = [a for a in range(len(x.shape)) if a not in axes]
    order = [*others, *axes]
    moves = order != sorted(order)
    if moves:
        x = ops.transpose(x, order)
    size = math.prod(x.shape[len(others) :])
    rows = ops.reshape(x, (-1, size))
    gamma, beta = (
        None if each is None else ops.reshape(each, (size,))
        for each in (gamma, beta)
    )
    is_native = native_name(activation) is not None
    spec = NormSpec(
        PooledAffine(1, epsilon),
        activation=activation if is_native else None,
        dtype=dtype if is_native else statistics_dtype(x.dtype),
    )
    y, *_ = normalize(spec, rows, Params({"gamma": gamma, "beta": beta}))
    if not is_native:
        y = ops.cast(activation(y), dtype)
    y = ops.reshape(y, ops.shape(x))
    if moves:
        y = ops.transpose(y, [order.index(a) for a in range(len(order))])
    return y


def _composed(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    axes: Sequence[int],
    epsilon: float,
    activation: Any,
    dtype: str,
    mask: Tensor | None,
) -> Tensor:
    x = ops.cast(x, statistics_dtype(x.dtype))
    if mask is not None:
        mask = ops.broadcast_to(_expanded(mask, x), ops.shape(x))

    def average(values: Tensor) -> Tensor:
        if mask is None:
            return ops.mean(values, axis=axes, keepdims=True)
        values = ops.where(mask, values, 0.0)
        count = ops.sum(ops.cast(mask, x.dtype), axis=axes, keepdims=True)
        total = ops.sum(values, axis=axes, keepdims=True)
        return total / ops.maximum(count, 1.0)

    if not tracing.exporting():
        # A large mean would be rounded. The mean of the differences from an
        # element is not.
        pivot = average(x) if mask is not None else _first(x, axes)
        x = x - ops.stop_gradient(pivot)
    centered = x - average(x)
    variance = average(ops.square(centered))
    y = centered * ops.rsqrt(variance + epsilon)
    shape = [size if a in axes else 1 for a, size in enumerate(x.shape)]
    if gamma is not None:
        y = y * ops.reshape(gamma, shape)
    if beta is not None:
        y = y + ops.reshape(beta, shape)
    if mask is not None:
        present = ops.any(mask, axis=axes, keepdims=True)
        y = ops.where(present, y, 0.0)
    if activation is not None:
        y = activation(y)
    return ops.cast(y, dtype)


def _first(x: Tensor, axes: Sequence[int]) -> Tensor:
    """The first element along the axes, which are kept."""
    return x[
        tuple(
            slice(0, 1) if axis in axes else slice(None)
            for axis in range(len(x.shape))
        )
    ]


def _expanded(mask: Tensor, x: Tensor) -> Tensor:
    """A mask over leading axes, with the rank of x."""
    shape = ops.shape(mask)
    return ops.reshape(mask, (*shape, *[1] * (len(x.shape) - len(shape))))
