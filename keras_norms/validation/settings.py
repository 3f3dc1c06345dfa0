"""What numbers, names and switches must be."""

import math

from keras_norms.validation.kinds import is_integer
from keras_norms.validation.kinds import is_real


def groups(value):
    """A positive integer, or -1 for a group a channel."""
    if not is_integer(value) or (value < 1 and value != -1):
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
            f'number of groups ({value}); Keras words the rule as "must be a '
            f'multiple of the number of channels". Received: groups={value}. '
            f"Use a divisor of {channels}, or -1 for a group a "
            "channel."
        )
    return value


def examples(name, value):
    """How many examples make a block: a positive integer or None."""
    if value is None:
        return None
    if not is_integer(value) or value < 1:
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
    if not is_integer(value) or value < 1:
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


def one_of_renorm_and_ghost_steps(renorm, ghost_statistics):
    """Renorm has averages of its own, which take one step a batch."""
    if renorm and ghost_statistics == "sequential":
        raise ValueError(
            "`renorm` moves averages of its own, one step a batch, and "
            '`ghost_statistics="sequential"` takes one a ghost batch. '
            'Received both. Use "batch" or "average" with renorm.'
        )


def not_negative(name, value):
    """A finite number, 0 or more: an epsilon, a rate."""
    if not is_real(value) or not 0 <= value < math.inf:
        raise ValueError(
            f"`{name}` must be a finite number, 0 or more. Received: "
            f"{name}={value!r}. Use a small number such as 1e-3."
        )
    return float(value)


def fraction(name, value):
    """Between 0 and 1, ends included."""
    if not is_real(value) or not 0 <= value <= 1:
        raise ValueError(
            f"`{name}` must be a number between 0 and 1. Received: "
            f"{name}={value!r}. Use a value in that range."
        )
    return float(value)


def inference_weights(value):
    """Shares to try: one or more."""
    try:
        weights = [fraction("weights", weight) for weight in value]
    except TypeError:
        weights = []
    if not weights:
        raise ValueError(
            "`weights` must be a list of one or more numbers between 0 and 1. "
            f"Received: weights={value!r}. Leave it out for the usual ones."
        )
    return weights


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
        limit is None or (is_real(limit) and limit == limit)
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


def cosine(name, value):
    """Between -1 and 1, ends included."""
    if not is_real(value) or not -1 <= value <= 1:
        raise ValueError(
            f"`{name}` is compared with a cosine and must be a number between "
            f"-1 and 1. Received: {name}={value!r}. Use 1 for never."
        )
    return float(value)


def steps(name, value):
    """A number of training steps: 0 or a positive integer."""
    if not is_integer(value) or value < 0:
        raise ValueError(
            f"`{name}` must be an integer, 0 or more, a number of training "
            f"steps. Received: {name}={value!r}. Use 0 for none."
        )
    return int(value)


def reduction(value):
    """Of a bottleneck: how many times narrower it is."""
    if not is_real(value) or not 1 <= value < math.inf:
        raise ValueError(
            "`reduction` must be a finite number, 1 or more: a layer of C "
            "channels has a bottleneck of C / reduction, but at least 1. "
            f"Received: reduction={value!r}. Use 1 for none."
        )
    return value


def one_of(name, value, *names):
    """One of some names."""
    if value not in names:
        raise ValueError(
            f"`{name}` must be one of {list(names)}. Received: "
            f"{name}={value!r}. Use one of these."
        )
    return value
