"""How the two passes see x: in blocks of examples, channels apart."""

import math

import numpy as np
from keras import ops

from keras_norms import arguments
from keras_norms.ops import tracing
from keras_norms.ops.tables import pinned
from keras_norms.ops.tables import statistics_dtype

# Under a compiler, so many parts are added before the reduction: it
# vectorizes additions but not reductions. Op by op, splitting costs a copy.
_PARTS = 8

# Op by op, known sizes beyond this are summed in runs of it first: the
# rounding of a sum grows with its length.
_RUN = 1024

# The pivot is the mean of this share of the positions. By Cauchy-Schwarz it
# lies within sqrt(64) standard deviations of the mean, whatever the data, so
# variances about it lose at most 6 bits.
_SAMPLE = 64

# A row of so few positions costs no time to read once more; its pivot is its
# mean, and no bits are lost.
_SMALL = 1024


class Layout:
    """Sums over the positions of each block and channel, and the way back.

    A row of a table, `[rows, channels]`, holds `examples` consecutive
    examples, the unit whose moments are kept apart: 1, None for the whole
    batch, or a number E (where the batch is no multiple of E, rows fall back
    to one example each). Only the last needs another view of x, `[rows, E,
    ...]`; the sizes of the others may all be unknown, channels excepted.
    """

    def __init__(self, x, axis=-1, examples=1):
        self.axis = axis % len(x.shape)
        self.channels = x.shape[self.axis]
        self.asked = self.examples = examples
        self.sizes = tuple(x.shape)
        self._x = x
        self._shape = None
        others = [a for a in range(len(x.shape)) if a != self.axis]
        if examples in (1, None):
            self._view = tuple(x.shape)
            self._axes = others if examples is None else others[1:]
            self._channel_axis = self.axis
        else:
            self._shape = tuple(ops.shape(x))
            batch, *sizes = self._shape
            self.examples = _whole_rows(batch, examples)
            self._view = (batch // self.examples, self.examples, *sizes)
            self._axes = [1, *(a + 1 for a in others[1:])]
            self._channel_axis = self.axis + 1

    def whole(self, table):
        """A table, or what broadcasts to one, with all its rows."""
        table = ops.convert_to_tensor(table, statistics_dtype(self._x))
        rows = 1 if self.examples is None else self._view[0]
        known = isinstance(rows, int)
        have = tuple(table.shape)
        # Of unknown numbers of rows, only 1 is known not to be all.
        fits = len(have) == 2 and have[1] == self.channels
        if fits and (have[0] == rows if known else have[0] != 1):
            return table
        if rows is None:
            rows = ops.shape(self._x)[0]
        return ops.broadcast_to(table, (rows, self.channels))

    def view(self, x):
        return x if self._shape is None else ops.reshape(x, self._view)

    def restore(self, view):
        return view if self._shape is None else ops.reshape(view, self._shape)

    def has_channels(self, mask):
        """Whether a mask, as it is given, has values of its own by channel."""
        if mask is None:
            return False
        shape = tuple(self._x.shape)
        return arguments.covers_channels(mask.shape, shape, self.axis)

    def mask(self, mask):
        """A mask over axes of x, see `arguments.fitting`, as a view."""
        if mask is None:
            return None
        by_channel = self.has_channels(mask)
        mask = ops.cast(ops.convert_to_tensor(mask), "bool")
        sizes = list(ops.shape(mask))
        sizes += [1] * (len(self._x.shape) - 1 - len(sizes))
        sizes.insert(len(sizes) if by_channel else self.axis, 1)
        mask = ops.reshape(mask, sizes)
        sizes = list(ops.shape(self._x))
        if not by_channel:
            sizes[self.axis] = 1
        mask = ops.broadcast_to(mask, sizes)
        if self._shape is None:
            return mask
        return ops.reshape(mask, (*self._view[:2], *sizes[1:]))

    def spread(self, table):
        """A table as something that broadcasts against the view."""
        shape = [1] * len(self._view)
        shape[0], shape[self._channel_axis] = -1, self.channels
        return ops.reshape(table, shape)

    def spread_all(self, table):
        """`spread`, for use with all of x.

        Pinned: or the tables' own arithmetic (indices of groups, above all)
        is done again for each element of x, at half the speed.
        """
        return self.spread(pinned(table))

    def count(self, view):
        """How many elements of a channel a row holds; a number if known."""
        sizes = [view.shape[axis] for axis in self._axes]
        if None in sizes:
            shape = ops.shape(view)
            sizes = [shape[axis] for axis in self._axes]
        count = math.prod(size for size in sizes if isinstance(size, int))
        for size in sizes:
            if not isinstance(size, int):
                count = count * size
        return count

    def sum(self, view):
        """Sums over the positions of a row: a table."""
        if not self._axes:
            return view
        if tracing.compiling():
            return self._table(self._sum_of_parts(view))
        # First what is nearest in memory, by itself: faster than all at once,
        # and sums are shorter, so rounding is smaller.
        nearest = [a for a in self._axes if a > self._channel_axis]
        nearest = nearest or self._axes[-1:]
        long = [
            axis
            for axis in self._axes
            if axis < self._channel_axis
            and isinstance(self._view[axis], int)
            and self._view[axis] > _RUN
        ]
        if nearest != self._axes and nearest[-1] not in long:
            view = ops.sum(view, axis=nearest, keepdims=True)
        for axis in long:
            view = self._sum_of_runs(view, axis)
        return self._table(view)

    def sample(self, view):
        """The first of the positions, one in `_SAMPLE`, or all of few."""
        if not self._axes:
            return view
        known = [a for a in self._axes if isinstance(self._view[a], int)]
        if known:
            axis = max(known, key=lambda a: self._view[a])
            size = self._view[axis]
        else:
            axis = self._axes[0]
            size = ops.shape(view)[axis]
        if len(known) == len(self._axes):
            positions = math.prod(self._view[a] for a in known)
            if positions <= _SMALL:
                return view
        return _slice(view, [axis], 0, -(-size // _SAMPLE))

    def first(self, view):
        """The first position of each row: a table. 0 where there is none."""
        return self._table(_slice(view, self._axes, 0, 1))

    def mean(self, sample):
        """Means over the positions of a sample: a table."""
        return self._table(sample) * inverse(self.count(sample), sample.dtype)

    def max(self, view, mask):
        """The largest of the unmasked positions of a row: a table.

        Of none it is the lowest finite number. Nothing here is infinite:
        `tf.debugging.enable_check_numerics` would take that for an error.
        """
        if 0 in view.shape:
            return self.sum(view)
        lowest = float(np.finfo(statistics_dtype(view)).min)
        return self._table(ops.where(mask, view, lowest), ops.max)

    def _table(self, view, reduction=ops.sum):
        if self._axes:
            view = reduction(view, axis=self._axes)
        return ops.reshape(view, (1, -1)) if self.examples is None else view

    def _sum_of_runs(self, view, axis):
        """Along one axis, [.., size, ..] -> [.., runs, ..]."""
        size = self._view[axis]
        whole = size // _RUN * _RUN
        shape = list(ops.shape(view))
        shape[axis : axis + 1] = [whole // _RUN, _RUN]
        head = ops.reshape(_slice(view, [axis], 0, whole), shape)
        head = ops.sum(head, axis=axis + 1)
        if whole == size:
            return head
        tail = _slice(view, [axis], whole, size)
        tail = ops.sum(tail, axis=axis, keepdims=True)
        return ops.concatenate([head, tail], axis=axis)

    def _sum_of_parts(self, view):
        known = [a for a in self._axes if isinstance(self._view[a], int)]
        parts = {a: _divisor(self._view[a], _PARTS) for a in known}
        if not parts:
            return view
        axis = max(parts, key=lambda a: (parts[a], self._view[a]))
        first, *others = ops.split(view, parts[axis], axis=axis)
        return sum(others, first)


def inverse(count, dtype):
    """1 / count, or 1 where the count is 0; of a number, a number."""
    if isinstance(count, (int, float)):
        return 1.0 / max(count, 1)
    return 1.0 / ops.maximum(ops.cast(count, dtype), 1.0)


def _whole_rows(batch, examples):
    if isinstance(batch, int):
        return examples if batch % examples == 0 else 1
    return ops.where(batch % examples == 0, examples, 1)


def _divisor(size, limit):
    """The largest divisor of a size up to a limit."""
    return next((k for k in range(limit, 1, -1) if size and size % k == 0), 1)


def _slice(view, axes, start, end):
    index = [slice(None)] * len(view.shape)
    for axis in axes:
        index[axis] = slice(start, end)
    return view[tuple(index)]
