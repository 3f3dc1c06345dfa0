"""The entry of the engine: normalizes x as a `NormSpec` describes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.engine.composed import ComposedBackend
from keras_norms.engine.export_backend import ExportBackend
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native import dispatch
from keras_norms.native import tracing
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Tensor

if keras.backend.backend() == "tensorflow":
    from keras_norms.engine import autodiff
    from keras_norms.engine import native_backend
    from keras_norms.native import gpu_layout


def normalize(
    spec: NormSpec, x: Tensor, params: Params, mask: Tensor | None = None
) -> tuple[Tensor, Any, Mapping[str, Tensor]]:
    """Computes `y = activation((x - center) * scale + shift)`.

    Args:
        spec: the algebra, and the settings of the passes.
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        params: the parameters of the algebra. All but booleans are cast to the
            dtype of the statistics.
        mask: as in `keras_norms.ops.normalize`.

    Returns: y in the shape of x, and the `updates` and the `outputs` of the
        coefficients.
    """
    x, mask = validation.inputs(x, mask, spec.axis)
    if mask is not None:
        # A mask of numbers would have a gradient.
        mask = ops.cast(mask, "bool")
    if not keras.backend.is_float_dtype(x.dtype):
        x = ops.cast(x, statistics_dtype(x.dtype))
    if spec.dtype is None:
        dtype = keras.backend.standardize_dtype(x.dtype)
        spec = dataclasses.replace(spec, dtype=dtype)
    params = _cast(params, statistics_dtype(x.dtype))
    backend_class = select_backend(x, mask, spec.axis, spec.needs_moments)
    if keras.backend.backend() != "tensorflow" or (
        backend_class is ExportBackend
    ):
        # Other backends of Keras, and TensorFlow in an exported graph,
        # differentiate the passes themselves.
        return backend_class(spec, x, mask).forward(x, params)[:3]

    if backend_class is ComposedBackend:
        return autodiff.normalize_with_gradient(
            backend_class, spec, x, mask, params
        )
    backend_class = backend_class.specialized(spec, x, mask, params)
    x = backend_class.cast_input(spec, x)
    # With the channels first, a mask could be read in two ways.
    moves = mask is None and gpu_layout.moves_channels(x, spec.axis)
    if moves:
        rank = len(x.shape)
        x = ops.transpose(x, (0, rank - 1, *range(1, rank - 1)))
        spec = dataclasses.replace(spec, axis=1)
    y, updates, outputs = autodiff.normalize_with_gradient(
        backend_class, spec, x, mask, params, ComposedBackend
    )
    if moves:
        y = ops.transpose(y, (0, *range(2, rank), 1))
    return y, updates, outputs


def select_backend(
    x: Tensor, mask: Tensor | None, axis: int, needs_moments: bool = True
) -> Any:
    """Selects the `Backend` class that computes the passes over x.

    The first selection of the native backend loads the library.
    """
    # The kernels apply the same mask to all channels. XLA fuses pass 2 with
    # its neighbors, if it is not a kernel.
    kernels_fit = not validation.has_channels(mask, x.shape, axis) and (
        needs_moments or not tracing.compiling()
    )
    if kernels_fit and dispatch.load_if_supported(x.shape, x.dtype):
        return native_backend.NativeBackend
    if keras.backend.backend() == "tensorflow" and tracing.exporting():
        return ExportBackend
    return ComposedBackend


def _cast(params: Params, dtype: str) -> Params:
    tensors = {}
    for name, value in params.present().items():
        tensor = ops.convert_to_tensor(value)
        is_bool = keras.backend.standardize_dtype(tensor.dtype) == "bool"
        tensors[name] = tensor if is_bool else ops.cast(tensor, dtype)
    return params.replace(**tensors)
