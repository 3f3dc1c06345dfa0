"""Checks of inputs, masks and axes."""

import keras
import numpy as np
from keras import ops

from keras_norms.validation.kinds import is_integer
from keras_norms.validation.kinds import is_sequence


def axis(value):
    """Checks a channel axis: one integer, or a list that contains one."""
    single = value
    if is_sequence(value) and len(value) == 1:
        single = value[0]
    if not is_integer(single):
        raise ValueError(
            "`axis` must be one integer, the channel axis. "
            f"Received: axis={value!r}. Name one axis; to normalize over "
            "several, reshape the inputs so that one axis holds the channels."
        )
    if single == 0:
        raise ValueError(
            "`axis` must not be the batch axis. Received: axis=0. Use -1 for "
            "channels last, 1 for channels first."
        )
    return int(single)


def axis_or_axes(value):
    """Checks normalized axes: an integer, or a list of integers."""
    axes = list(value) if is_sequence(value) else [value]
    if not axes or not all(map(is_integer, axes)) or 0 in axes:
        raise ValueError(
            "`axis` must be an integer or a list of integers, without the "
            f"batch axis, 0. Received: axis={value!r}. Use -1 for the last "
            "axis."
        )
    axes = [int(each) for each in axes]
    return axes if is_sequence(value) else axes[0]


def normalized_axes(value, shape):
    """The axes in ascending order, which must have known sizes."""
    shape, rank = tuple(shape), len(shape)
    axes = value if is_sequence(value) else [value]
    known = [
        a % rank for a in axes if 1 - rank <= a < rank and shape[a] is not None
    ]
    if len(known) < len(axes) or len(set(known)) < len(known):
        raise ValueError(
            "`axis` must name axes of the inputs between 1 and rank - 1, each "
            f"once and of a known size. Received: axis={value!r} for inputs "
            f"of shape {shape}. Correct the axes, or state their sizes in "
            "`keras.Input`."
        )
    return tuple(sorted(known))


def training(value):
    """Converts the argument `training` to a bool or a boolean tensor."""
    if value is None or isinstance(value, (bool, int, np.bool_)):
        return bool(value)
    return ops.convert_to_tensor(value, "bool")


def inputs(x, mask, axis):
    """Checks x and its mask, and converts them to tensors."""
    x = ops.convert_to_tensor(x)
    real_dtype(keras.backend.standardize_dtype(x.dtype))
    channels(axis, x.shape)
    if mask is not None:
        mask = ops.convert_to_tensor(mask)
        mask_shape(mask, x.shape, axis)
    return x, mask


def channels(value, shape):
    """The number of channels of an input, which must be known.

    Args:
        value: the channel axis.
        shape: the shape of the input.
    """
    shape = tuple(shape)
    rank = len(shape)
    if rank < 2:
        raise ValueError(
            "Inputs must have a batch axis and a channel axis, rank 2 or "
            f"more. Received: an input of shape {shape}, rank {rank}. Add the "
            "missing axis, for example with `keras.ops.expand_dims`."
        )
    if not 1 - rank <= value < rank:
        raise ValueError(
            f"Axis {value} is out of bounds for input shape {shape}: the "
            f"channel axis lies between 1 and {rank - 1}, or between "
            f"{1 - rank} and -1. Received: axis={value}. Use -1 for channels "
            "last, 1 for channels first."
        )
    if shape[value] is None:
        raise ValueError(
            f"Axis {value} of input tensor should have a defined dimension "
            "but the layer received an input with shape "
            f"{shape}. State the number of channels in `keras.Input`, or name "
            "another axis."
        )
    if shape[value] < 1:
        raise ValueError(
            f"Axis {value} of the inputs must hold one channel or more. "
            f"Received: an input of shape {shape}. Name the channel axis."
        )
    return shape[value]


def spatial_rank(shape):
    """Checks that inputs have at most three axes of positions."""
    if len(shape) > 5:
        raise ValueError(
            "A depthwise convolution takes inputs of rank 2 to 5, with up to "
            f"3 axes of positions. Received: an input of shape {shape}, rank "
            f"{len(shape)}. Reshape the inputs to fewer axes."
        )


def real_dtype(dtype):
    """Refuses the dtypes of complex numbers and of text."""
    if dtype.startswith("complex") or dtype == "string":
        raise ValueError(
            "Inputs must be real numbers. Received: an input of dtype "
            f"{dtype}. Normalize real and imaginary parts separately, or "
            "convert text to numbers."
        )


def covers_channels(received, shape, axis):
    """Whether a mask of this shape covers the channel axis.

    `keras.layers.Masking` computes masks that cover all axes but the last one.
    If the channels come first, such a mask has a value per channel, while a
    mask of positions has none.
    """
    rank, axis = len(shape), axis % len(shape)
    if axis == rank - 1 or len(received) != rank - 1:
        return False
    # An unknown size may be a number of positions.
    return received[axis] == shape[axis] and _broadcasts(received, shape)


def has_channels(mask, shape, axis):
    """Whether a mask, which may be `None`, has a value per channel."""
    return mask is not None and covers_channels(
        tuple(mask.shape), tuple(shape), axis
    )


def _broadcasts(received, sizes):
    """Whether a mask of this shape broadcasts to the leading sizes."""
    return all(
        size in (1, None) or want is None or size == want
        for size, want in zip(received, sizes, strict=False)
    )


def mask_shape(mask, shape, axis):
    """Checks the shape of a mask for inputs of the given shape.

    A mask covers the leading axes of the inputs, without the channel axis, or
    all axes but the last one, as in Keras.
    """
    sizes = list(shape)
    del sizes[axis]
    received = tuple(mask.shape)
    fits = 1 <= len(received) <= len(sizes) and _broadcasts(received, sizes)
    if not fits and not covers_channels(received, shape, axis):
        raise ValueError(
            "The mask must cover the leading axes of the inputs without "
            f"their channel axis, {tuple(sizes)}, at least the batch. "
            f"Received: mask.shape={received}, inputs.shape={tuple(shape)}, "
            f"axis={axis}. Pass a mask with one value per position, for all "
            "channels."
        )
