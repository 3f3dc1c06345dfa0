"""Runs a `NormSpec`."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.engine.composed import ComposedBackend
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native import dispatch
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Tensor

if keras.backend.backend() == "tensorflow":
    from keras_norms.engine import autodiff
    from keras_norms.engine import native_backend


def normalize(
    spec: NormSpec, x: Tensor, params: Params, mask: Tensor | None = None
) -> tuple[Tensor, Any]:
    """`activation((x - center) * scale + shift)`, and the updates.

    Args:
        spec: a `NormSpec`.
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        params: the parameters of the algebra. All but booleans are cast to the
            dtype of the statistics.
        mask: as in `keras_norms.ops.normalize`.

    Returns: y in the shape of x, and the `updates` of the coefficients.
    """
    x, mask = validation.inputs(x, mask, spec.axis)
    if not keras.backend.is_float_dtype(x.dtype):
        x = ops.cast(x, statistics_dtype(x.dtype))
    if spec.dtype is None:
        dtype = keras.backend.standardize_dtype(x.dtype)
        spec = dataclasses.replace(spec, dtype=dtype)
    params = _cast(params, statistics_dtype(x.dtype))
    backend = select_backend(x, mask, spec.axis)
    if keras.backend.backend() != "tensorflow":
        # Other backends of Keras differentiate the passes themselves.
        y, updates, _ = backend(spec, x, mask).forward(x, params)
        return y, updates

    if backend is ComposedBackend:
        return autodiff.differentiable(backend, spec, x, mask, params)
    backend = backend.specialized(spec, x, mask, params)
    x = backend.cast_input(spec, x)
    return autodiff.differentiable(
        backend, spec, x, mask, params, ComposedBackend
    )


def select_backend(x: Tensor, mask: Tensor | None, axis: int) -> Any:
    """The `Backend` class that computes the passes over x.

    The first selection of the native backend loads the library.
    """
    # The kernels have one mask for all channels.
    has_kernels = not validation.has_channels(mask, x.shape, axis)
    if has_kernels and dispatch.activate(x.shape, x.dtype):
        return native_backend.NativeBackend
    return ComposedBackend


def _cast(params: Params, dtype: str) -> Params:
    tensors = {}
    for name, value in params.present().items():
        tensor = ops.convert_to_tensor(value)
        is_bool = keras.backend.standardize_dtype(tensor.dtype) == "bool"
        tensors[name] = tensor if is_bool else ops.cast(tensor, dtype)
    return params.replace(**tensors)
