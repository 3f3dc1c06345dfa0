"""What a value is."""

import numbers
from collections.abc import Sequence


def is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_sequence(value):
    """A list, a tuple or one of the wrappers that Keras and TensorFlow use."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
