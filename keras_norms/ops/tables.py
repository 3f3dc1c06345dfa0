"""Small steps on tables: their dtype, their shape, numbers among them."""

import keras
from keras import ops

from keras_norms.ops import tracing


def pinned(table):
    """The table, computed once, also by XLA.

    XLA computes it anew for each use, and may round it in another way there
    (a product and a sum at once): what is left of its rounding is then that
    of another table. Results of sums it keeps; adding zeros changes no value.
    """
    if not tracing.compiling():
        return table
    return ops.sum(ops.stack([table, ops.zeros_like(table)]), axis=0)


def as_float(x):
    """x in the dtype of its statistics."""
    return ops.cast(x, statistics_dtype(x))


def statistics_dtype(x):
    """float64 for float64, else float32."""
    float64 = keras.backend.standardize_dtype(x.dtype) == "float64"
    return "float64" if float64 else "float32"


def like(table, other):
    """A table, or a number, in the shape and dtype of another table."""
    if getattr(table, "shape", None) == other.shape:
        return table
    return ops.zeros_like(other) + ops.cast(table, other.dtype)


def column(count):
    """A count, or a share, that broadcasts against tables [rows, channels].

    A scalar does, and so does a count for each channel of each row.
    """
    return count[:, None] if len(getattr(count, "shape", ())) == 1 else count


def row_counts(table):
    """`column` undone: [rows] where one count holds for all channels."""
    return table[:, 0] if table.shape[1] == 1 else table


def is_number(value):
    return len(getattr(value, "shape", ())) == 0


def is_exactly(size, value):
    return isinstance(size, int) and size == value
