"""Layer normalization: statistics over some axes of each example.

Gamma and beta have an element for each normalized position, so this is not a
`NormSpec`, whose coefficients have one for each channel. The native library
computes it as group normalization of one group in rows of one position.
"""

import dataclasses
import math
from collections.abc import Callable
from collections.abc import Sequence

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


@dataclasses.dataclass(frozen=True)
class LayerNormSpec:
    """A layer normalization as data.

        y = activation(gamma (x - mean) / sqrt(var + epsilon) + beta)

    Args:
        axes: the normalized axes, ascending and without the batch axis. Their
            sizes must be known.
        epsilon: is added to the variance.
        activation: a function of one tensor, or `None`.
        dtype: the dtype of y, or `None` for that of x.
    """

    axes: Sequence[int]
    epsilon: float
    activation: Callable[[Tensor], Tensor] | None = None
    dtype: str | None = None


def layer_normalize(
    spec: LayerNormSpec, x: Tensor, params: Params, mask: Tensor | None = None
) -> Tensor:
    """Computes y as a `LayerNormSpec` describes it.

    Args:
        spec: the settings.
        x: a tensor of rank 2 or more, of any real dtype.
        params: gamma and beta, with the sizes of the axes, or `None`.
        mask: a boolean tensor over leading axes of x, or `None`.
    """
    x, mask = validation.inputs(x, mask, -1)
    if not keras.backend.is_float_dtype(x.dtype):
        x = ops.cast(x, statistics_dtype(x.dtype))
    if spec.dtype is None:
        dtype = keras.backend.standardize_dtype(x.dtype)
        spec = dataclasses.replace(spec, dtype=dtype)
    if mask is not None:
        usable = ops.logical_or(_expanded(mask, x), ops.isfinite(x))
        x = ops.where(usable, x, ops.zeros_like(x))
        if len(mask.shape) <= spec.axes[0]:
            # Whole rows are masked, and no other row depends on them.
            mask = None
    if mask is None and dispatch.load_if_supported(
        x.shape, x.dtype, on_gpus=False
    ):
        return _native(spec, x, params)
    return _composed(spec, x, params, mask)


def _native(spec: LayerNormSpec, x: Tensor, params: Params) -> Tensor:
    """Normalizes rows that are contiguous in memory."""
    from keras_norms.native.ops import activation as native_name

    others = [a for a in range(len(x.shape)) if a not in spec.axes]
    order = [*others, *spec.axes]
    moves = order != sorted(order)
    if moves:
        x = ops.transpose(x, order)
    size = math.prod(x.shape[len(others) :])
    rows = ops.reshape(x, (-1, size))
    flat = {n: ops.reshape(t, (size,)) for n, t in params.present().items()}
    is_native = native_name(spec.activation) is not None
    norm = NormSpec(
        PooledAffine(1, spec.epsilon),
        activation=spec.activation if is_native else None,
        dtype=spec.dtype if is_native else statistics_dtype(x.dtype),
    )
    y, *_ = normalize(norm, rows, params.replace(**flat))
    if spec.activation is not None and not is_native:
        y = ops.cast(spec.activation(y), spec.dtype)
    y = ops.reshape(y, ops.shape(x))
    if moves:
        y = ops.transpose(y, [order.index(a) for a in range(len(order))])
    return y


def _composed(
    spec: LayerNormSpec, x: Tensor, params: Params, mask: Tensor | None
) -> Tensor:
    axes = spec.axes
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
    y = centered * ops.rsqrt(variance + spec.epsilon)
    shape = [size if a in axes else 1 for a, size in enumerate(x.shape)]
    affine = {
        name: ops.reshape(ops.cast(tensor, x.dtype), shape)
        for name, tensor in params.present().items()
    }
    if "gamma" in affine:
        y = y * affine["gamma"]
    if "beta" in affine:
        y = y + affine["beta"]
    if mask is not None:
        present = ops.any(mask, axis=axes, keepdims=True)
        y = ops.where(present, y, 0.0)
    if spec.activation is not None:
        y = spec.activation(y)
    return ops.cast(y, spec.dtype)


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
