"""Checks of numbers, names and booleans."""

import math

from keras_norms.validation.kinds import is_integer
from keras_norms.validation.kinds import is_real


def groups(value):
    """Checks a number of groups: a positive integer, or -1."""
    if not is_integer(value) or (value < 1 and value != -1):
        raise ValueError(
            "Received an invalid value for argument `groups`, expected a "
            "positive integer (or -1 for one group per channel, as in "
            f"instance normalization). Received: groups={value!r}. Use a "
            "divisor of the number of channels."
        )
    return int(value)


def groups_of(value, channels):
    """The number of groups, which must divide the number of channels."""
    value = groups(value)
    if value == -1:
        return channels
    if value > channels:
        raise ValueError(
            f"Number of groups ({value}) cannot be more than the number of "
            f"channels ({channels}). Received: groups={value}. Use a divisor "
            f"of {channels}, or -1 for one group per channel."
        )
    if channels % value:
        raise ValueError(
            f"The number of channels ({channels}) must be a multiple of the "
            f'number of groups ({value}); Keras words the rule as "must be a '
            f'multiple of the number of channels". Received: groups={value}. '
            f"Use a divisor of {channels}, or -1 for one group per "
            "channel."
        )
    return value


def examples(name, value):
    """Checks the number of examples per block: a positive integer or None."""
    if value is None:
        return None
    if not is_integer(value) or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer, or None for the whole "
            f"batch. Received: {name}={value!r}. Use 1 or more examples."
        )
    return int(value)


def multiple_of_row(name, value, examples_per_row):
    """Checks that blocks of examples consist of complete rows of moments.

    `examples_per_row` may be a tensor, whose value is not checked.
    """
    if is_integer(examples_per_row) and value % examples_per_row:
        raise ValueError(
            f"`{name}` must be a multiple of the {examples_per_row} examples "
            f"per row of the moments. Received: {name}={value}. Use a "
            "multiple, or pool moments of examples, those of "
            "`instance_moments`."
        )


def weight(value):
    """Checks the weight of a blend: a number or a tensor of rank 2."""
    shape = tuple(getattr(value, "shape", ()))
    if len(shape) not in (0, 2):
        raise ValueError(
            "`weight` must be a number, or a tensor that broadcasts to "
            f"[rows, channels]. Received: a weight of shape {shape}. Use "
            "`weight[None]` for one weight per channel, and "
            "`weight[:, None]` for one weight per row."
        )


def not_negative(name, value):
    """Checks a finite number that is 0 or more, such as an epsilon."""
    if not is_real(value) or not 0 <= value < math.inf:
        raise ValueError(
            f"`{name}` must be a finite number, 0 or more. Received: "
            f"{name}={value!r}. Use a small number such as 1e-3."
        )
    return float(value)


def fraction(name, value):
    """Checks a number between 0 and 1, both included."""
    if not is_real(value) or not 0 <= value <= 1:
        raise ValueError(
            f"`{name}` must be a number between 0 and 1. Received: "
            f"{name}={value!r}. Use a value in that range."
        )
    return float(value)


def inference_weights(value):
    """Checks a list of one or more inference weights."""
    try:
        weights = [fraction("weights", weight) for weight in value]
    except TypeError:
        weights = []
    if not weights:
        raise ValueError(
            "`weights` must be a list of one or more numbers between 0 and 1. "
            f"Received: weights={value!r}. Omit the argument to use the "
            "default weights."
        )
    return weights


def boolean(name, value):
    """Checks that a value is `True` or `False`, and not another type."""
    if not isinstance(value, bool):
        raise ValueError(
            f"`{name}` must be True or False. Received: {name}={value!r}. Use "
            "one of them."
        )
    return value


def renorm_clipping(value):
    """Checks the limits of renorm: optional `rmax`, `rmin` and `dmax`."""
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
            f"argument. Received: rmax={rmax}, rmin={rmin}. Swap the values."
        )
    if dmax is not None and dmax < 0:
        raise ValueError(
            "dmax should be non-negative in the `renorm_clipping` argument. "
            f"Received: dmax={dmax}. Use 0 for no shift."
        )
    return value


def cosine(name, value):
    """Checks a number between -1 and 1, both included."""
    if not is_real(value) or not -1 <= value <= 1:
        raise ValueError(
            f"`{name}` is compared with a cosine and must be a number between "
            f"-1 and 1. Received: {name}={value!r}. Use 1 for a threshold "
            "that is never exceeded."
        )
    return float(value)


def positive_integer(name, value):
    """Checks a number of things of which there must be one."""
    if not is_integer(value) or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer. Received: "
            f"{name}={value!r}. Use 1 or more."
        )
    return int(value)


def steps(name, value):
    """Checks a number of training steps: 0 or a positive integer."""
    if not is_integer(value) or value < 0:
        raise ValueError(
            f"`{name}` is a number of training steps and must be an integer, "
            f"0 or more. Received: {name}={value!r}. Use 0 for no steps."
        )
    return int(value)


def odd(name, value):
    """Checks the size of a window that has a middle: an odd integer."""
    if not is_integer(value) or value < 1 or value % 2 == 0:
        raise ValueError(
            f"`{name}` must be an odd positive integer, so that the window "
            f"has a middle. Received: {name}={value!r}. Use 3, 5 or 7."
        )
    return int(value)


def reduction(value):
    """Checks the factor by which a bottleneck reduces the channels."""
    if not is_real(value) or not 1 <= value < math.inf:
        raise ValueError(
            "`reduction` must be a finite number, 1 or more: for C channels, "
            "the bottleneck has C / reduction units, at least 1. "
            f"Received: reduction={value!r}. Use 1 for no reduction."
        )
    return value


def one_of(name, value, *names):
    """Checks that a value is one of some names."""
    if value not in names:
        raise ValueError(
            f"`{name}` must be one of {list(names)}. Received: "
            f"{name}={value!r}. Use one of these."
        )
    return value
