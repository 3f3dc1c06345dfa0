"""Tests of the type of a value."""

import numbers
from collections.abc import Sequence


def is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_sequence(value):
    """Whether it is a list, a tuple or a wrapper of Keras or TensorFlow."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
