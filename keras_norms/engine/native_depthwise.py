"""The depthwise convolution by the native library, with its gradient."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_norms.engine.autodiff import with_gradient
from keras_norms.native import differentiation
from keras_norms.native import ops
from keras_norms.types import Tensor


def convolve_natively(
    composed: Callable[..., Tensor],
    x: Tensor,
    kernel: Tensor,
    shift: Tensor | None,
) -> Tensor:
    """The convolution of x, which has the channels last.

    Args:
        composed: computes the same by operations that TensorFlow
            differentiates, for second derivatives.
        x, kernel, shift: the arguments of `composed`.
    """
    window, channels = kernel.shape[0], kernel.shape[-2]
    shifts = [] if shift is None else [shift]

    @differentiation.custom_gradient
    def run(x: Tensor, kernel: Tensor, *shifts: Tensor) -> Any:
        weights = tf.reshape(kernel, [-1, channels])
        y = ops.depthwise(x, weights, shifts[0] if shifts else None, window)

        def backward(
            x: Tensor, dy: Tensor, kernel: Tensor, *shifts: Tensor
        ) -> list[Tensor]:
            weights = tf.reshape(kernel, [-1, channels])
            dx, d_weights, d_shift = ops.depthwise_gradient(
                x, dy, weights, window
            )
            d_kernel = tf.reshape(d_weights, kernel.shape)
            return [dx, d_kernel, *[d_shift] * len(shifts)]

        def gradient(dy: Tensor) -> list[Tensor]:
            differentiable = with_gradient(backward, forward, 1)
            return differentiable(x, dy, kernel, *shifts)

        return y, gradient

    def forward(x: Tensor, kernel: Tensor, *shifts: Tensor) -> list[Tensor]:
        return [composed(x, kernel, shifts[0] if shifts else None)]

    return run(x, kernel, *shifts)
