"""The kernels that `WeightStandardization` computes with."""

import functools
from typing import Any

import keras
from keras import ops

from keras_norms.layers.kernel_layers import DEPTHWISE
from keras_norms.layers.kernel_layers import TRANSPOSED
from keras_norms.ops import Coefficients
from keras_norms.ops import normalize
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


def outputs(layer: keras.layers.Layer) -> int:
    """How many outputs the kernel of a layer has."""
    *_, before_last, last = layer.kernel.shape
    if isinstance(layer, DEPTHWISE):
        return before_last * last
    return before_last if isinstance(layer, TRANSPOSED) else last


def standardized_kernel(
    layer: keras.layers.Layer,
    kernel: Tensor,
    epsilon: float,
    gain: Tensor | None,
) -> Tensor:
    """A kernel of a layer, standardized for each output.

    Args:
        layer: the layer, which tells the axis of the outputs.
        kernel: its kernel, in the dtype in which it is stored.
        epsilon: see `WeightStandardization`.
        gain: `[outputs]`, for scaled standardization, or `None`.
    """
    kernel = ops.convert_to_tensor(kernel)
    axis = -2 if isinstance(layer, TRANSPOSED) else -1
    shape = kernel.shape
    if isinstance(layer, DEPTHWISE):
        kernel = ops.reshape(kernel, (*shape[:-2], -1))
    algebra = functools.partial(_coefficients, epsilon)
    result, _ = normalize(kernel[None], algebra, {"gain": gain}, axis=axis)
    return ops.reshape(result, shape)


def _coefficients(
    epsilon: float, moments: Moments, gain: Any = None
) -> Coefficients:
    if gain is None:
        # The root has no gradient at 0, where all weights are equal.
        stddev = ops.sqrt(ops.maximum(moments.variance, 1e-30))
        scale = 1.0 / (stddev + epsilon)
    else:
        square = moments.count * moments.variance
        scale = gain / ops.sqrt(ops.maximum(square, epsilon))
    return Coefficients(moments.mean, scale, -moments.residual * scale)
