"""What inputs must be, and masks and axes to go with them."""

import keras
import numpy as np
from keras import ops

from keras_norms.validation.kinds import is_integer
from keras_norms.validation.kinds import is_sequence


def axis(value):
    """One axis, not the batch's; a list of one is read as that one."""
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


def training(value):
    """The `training` argument of a call: True, False or a boolean tensor."""
    if value is None or isinstance(value, (bool, int, np.bool_)):
        return bool(value)
    return ops.convert_to_tensor(value, "bool")


def inputs(x, mask, axis):
    """Both as tensors, x of real numbers, the mask to go with it."""
    x = ops.convert_to_tensor(x)
    real(keras.backend.standardize_dtype(x.dtype))
    channels(axis, x.shape)
    if mask is not None:
        mask = ops.convert_to_tensor(mask)
        fitting(mask, x.shape, axis)
    return x, mask


def channels(value, shape):
    """The number of channels of inputs of this shape, along axis `value`."""
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


def real(dtype):
    """Of inputs: not complex, not text."""
    if dtype.startswith("complex") or dtype == "string":
        raise ValueError(
            "Inputs must be real numbers. Received: an input of dtype "
            f"{dtype}. Normalize real and imaginary parts by themselves; turn "
            "text into numbers first."
        )


def covers_channels(received, shape, axis):
    """Whether a mask lies over all axes but the last, as Keras has it.

    `keras.layers.Masking` makes such masks. Channels first, they have a value
    for each channel, where masks over positions have none.
    """
    rank, axis = len(shape), axis % len(shape)
    if axis == rank - 1 or len(received) != rank - 1:
        return False
    # An unknown size may be that of positions.
    return received[axis] == shape[axis] and _broadcasts(received, shape)


def has_channels(mask, shape, axis):
    """Whether a mask, or `None`, has its own values for each channel."""
    return mask is not None and covers_channels(
        tuple(mask.shape), tuple(shape), axis
    )


def _broadcasts(received, sizes):
    """Whether a mask of this shape fits the leading ones of these sizes."""
    return all(
        have in (1, None) or want is None or have == want
        for have, want in zip(received, sizes, strict=False)
    )


def fitting(mask, shape, axis):
    """Over the leading axes of inputs without channels, or as Keras has it."""
    sizes = list(shape)
    del sizes[axis]
    received = tuple(mask.shape)
    fits = 1 <= len(received) <= len(sizes) and _broadcasts(received, sizes)
    if not fits and not covers_channels(received, shape, axis):
        raise ValueError(
            "The mask must cover the leading axes of the inputs without "
            f"their channel axis, {tuple(sizes)}, at least the batch. "
            f"Received: mask.shape={received}, inputs.shape={tuple(shape)}, "
            f"axis={axis}. A mask says which positions count, for all "
            "channels of each."
        )
