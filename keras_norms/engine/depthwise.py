"""The depthwise convolution that takes the place of gamma and beta."""

import functools

from keras import ops

from keras_norms.engine.layout import Layout
from keras_norms.native import dispatch
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Shape
from keras_norms.types import Tensor


def kernel_shape(rank: int, channels: int, kernel_size: int) -> Shape:
    """`(kernel_size, ..., channels, 1)`, with one size per spatial axis."""
    return (*[kernel_size] * (rank - 2), channels, 1)


def convolve(
    x: Tensor,
    kernel: Tensor,
    shift: Tensor | None,
    axis: int,
    mask: Tensor | None = None,
) -> Tensor:
    """The depthwise convolution of x, padded with zeros to the same shape.

    Args:
        x: a tensor `[batch, ...]` of rank 2 to 5. Without a spatial axis, the
            convolution is a product.
        kernel: see `kernel_shape`.
        shift: a tensor `[batch, channels]` that is added, or `None`.
        axis: the channel axis.
        mask: as in `keras_norms.ops.normalize`. Masked positions are read as
            0, as the padding is.
    """
    dtype = statistics_dtype(x.dtype)
    kernel = ops.cast(ops.convert_to_tensor(kernel), dtype)
    shift = None if shift is None else ops.cast(shift, dtype)
    rank, axis = len(x.shape), axis % len(x.shape)
    if mask is not None:
        mask = Layout(x, axis).mask(mask)
        x = ops.where(mask, x, ops.zeros((), x.dtype))
    # TensorFlow has no depthwise convolution with channels first on CPUs.
    if axis != rank - 1:
        x = ops.moveaxis(x, axis, -1)
    if rank > 2 and dispatch.load_if_supported(
        x.shape, x.dtype, on_gpus=False
    ):
        from keras_norms.engine.native_depthwise import convolve_natively

        y = convolve_natively(_composed, x, kernel, shift)
    else:
        y = _composed(x, kernel, shift)
    return y if axis == rank - 1 else ops.moveaxis(y, -1, axis)


def _composed(x: Tensor, kernel: Tensor, shift: Tensor | None) -> Tensor:
    """The convolution by operations of Keras's backend."""
    kernel = ops.cast(kernel, x.dtype)
    rank = len(x.shape)
    if not x.shape[0]:
        # TensorFlow's gradient of the kernel is uninitialized memory if the
        # batch is empty. The gradient of this selection is 0 then.
        kernel = ops.where(ops.shape(x)[0] > 0, kernel, 0.0)
    if rank == 2:
        y = x * kernel[:, 0]
    elif rank < 5:
        y = ops.depthwise_conv(x, kernel, padding="same")
    else:
        y = _convolve_volumes(x, kernel)
    if shift is None:
        return y
    shape = (-1, *[1] * (rank - 2), x.shape[-1])
    return y + ops.cast(ops.reshape(shift, shape), y.dtype)


def _convolve_volumes(x: Tensor, kernel: Tensor) -> Tensor:
    """The sum over depths of the kernel of convolutions of single slices.

    The backends have no depthwise convolution of volumes.
    """
    shape = ops.shape(x)
    batch, depth, *sizes = shape
    before = kernel.shape[0] // 2
    padding = [(0, 0)] * 5
    padding[1] = (before, kernel.shape[0] - 1 - before)
    padded = ops.pad(x, padding)
    slices = [
        ops.reshape(padded[:, start : start + depth], (batch * depth, *sizes))
        for start in range(kernel.shape[0])
    ]
    total = functools.reduce(
        ops.add,
        (
            ops.depthwise_conv(each, kernel[index], padding="same")
            for index, each in enumerate(slices)
        ),
    )
    return ops.reshape(total, shape)
