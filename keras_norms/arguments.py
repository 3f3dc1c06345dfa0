"""What arguments must be: the rule, what came, and what to do about it."""

import math
import numbers

import keras
from keras import ops


def axis(value):
    """One axis, not the batch's; a list of one is read as that one."""
    single = value
    if isinstance(value, (list, tuple)) and len(value) == 1:
        single = value[0]
    if not _is_integer(single):
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


def groups(value):
    """A positive integer, or -1 for a group a channel."""
    if not _is_integer(value) or (value < 1 and value != -1):
        raise ValueError(
            "Received an invalid value for argument `groups`, expected a "
            "positive integer (or -1 for a group a channel, instance "
            f"normalization). Received: groups={value!r}. Use a divisor of "
            "the number of channels."
        )
    return int(value)


def groups_of(value, channels):
    """How many groups so many channels make; they must divide them."""
    value = groups(value)
    if value == -1:
        return channels
    if value > channels:
        raise ValueError(
            f"Number of groups ({value}) cannot be more than the number of "
            f"channels ({channels}). Received: groups={value}. Use a divisor "
            f"of {channels}, or -1 for a group a channel."
        )
    if channels % value:
        raise ValueError(
            f"The number of channels ({channels}) must be a multiple of the "
            f"number of groups ({value}). Received: groups={value}. Use a "
            f"divisor of {channels}, or -1 for a group a channel."
        )
    return value


def examples(name, value):
    """How many examples make a block: a positive integer or None."""
    if value is None:
        return None
    if not _is_integer(value) or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer, or None for the whole "
            f"batch. Received: {name}={value!r}. Use 1 or more examples."
        )
    return int(value)


def weight(value):
    """Of a blend: one, or a table of them."""
    shape = tuple(getattr(value, "shape", ()))
    if len(shape) not in (0, 2):
        raise ValueError(
            "`weight` must be a number, or a table that broadcasts to "
            f"[rows, channels]. Received: a weight of shape {shape}. Use "
            "`weight[None]` for one a channel, `weight[:, None]` for one a "
            "row."
        )


def replicas(value):
    """How many replicas are merged: a positive integer or None."""
    if value is None:
        return None
    if not _is_integer(value) or value < 1:
        raise ValueError(
            "`replicas_per_group` must be a positive integer, or None for all "
            f"replicas. Received: replicas_per_group={value!r}. Use a divisor "
            "of the number of replicas."
        )
    return int(value)


def one_of_blocks_and_replicas(name, value, synchronized):
    """Blocks of a replica's batch and the batch of all replicas differ."""
    if value is not None and synchronized:
        raise ValueError(
            f"`{name}` makes statistics of less than a replica's batch, "
            "`synchronized` of more: they exclude each other. Received: "
            f"{name}={value}, synchronized=True. Leave one of them out."
        )


def epsilon(value):
    """Finite and not negative."""
    if not _is_real(value) or not 0 <= value < math.inf:
        raise ValueError(
            "`epsilon` must be a finite number, 0 or more: it is added to a "
            f"variance. Received: epsilon={value!r}. Use a small number such "
            "as 1e-3."
        )
    return float(value)


def fraction(name, value):
    """Between 0 and 1, ends included."""
    if not _is_real(value) or not 0 <= value <= 1:
        raise ValueError(
            f"`{name}` must be a number between 0 and 1. Received: "
            f"{name}={value!r}. Use a value in that range."
        )
    return float(value)


def boolean(name, value):
    """True or False, not what would do for one."""
    if not isinstance(value, bool):
        raise ValueError(
            f"`{name}` must be True or False. Received: {name}={value!r}. Use "
            "one of them."
        )
    return value


def renorm_clipping(value):
    """The keys `rmax`, `rmin`, `dmax`, each optional, in order."""
    keys = ["rmax", "rmin", "dmax"]
    numbers_or_none = isinstance(value or {}, dict) and all(
        limit is None or (_is_real(limit) and limit == limit)
        for limit in (value or {}).values()
    )
    if not numbers_or_none:
        raise ValueError(
            "`renorm_clipping` must be a dictionary of numbers. Received: "
            f"renorm_clipping={value!r}. Supported keys: {keys}."
        )
    value = dict(value or {})
    if set(value) - set(keys):
        raise ValueError(
            f"Received invalid keys for `renorm_clipping` argument: {value}. "
            f"Supported keys: {keys}. Remove the others."
        )
    rmax, rmin, dmax = map(value.get, keys)
    if rmax is not None and rmin is not None and rmax < rmin:
        raise ValueError(
            "rmax should be greater than rmin in the `renorm_clipping` "
            f"argument. Received: rmax={rmax}, rmin={rmin}. Swap them?"
        )
    if dmax is not None and dmax < 0:
        raise ValueError(
            "dmax should be non-negative in the `renorm_clipping` argument. "
            f"Received: dmax={dmax}. Use 0 for no shift at all."
        )
    return value


def fitting(mask, shape, axis):
    """Over the leading axes of inputs of this shape without channels."""
    sizes = list(shape)
    del sizes[axis]
    received = tuple(mask.shape)
    fits = 1 <= len(received) <= len(sizes) and all(
        have in (1, None) or want is None or have == want
        for have, want in zip(received, sizes, strict=False)
    )
    if not fits:
        raise ValueError(
            "The mask must cover the leading axes of the inputs without "
            f"their channel axis, {tuple(sizes)}, at least the batch. "
            f"Received: mask.shape={received}, inputs.shape={tuple(shape)}, "
            f"axis={axis}. A mask says which positions count, for all "
            "channels of each."
        )


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
