"""How the two passes see x: [rows, before, channels, after]."""

import math

from keras import ops

from keras_norms.ops import native

# Under a compiler, so many parts are added before the reduction: it
# vectorizes additions but not reductions. Op by op, splitting costs a copy.
_PARTS = 8

# Op by op, up to so many positions are summed before the rest: rounding grows
# with the length of a sum.
_RUN = 256

# The pivot is the mean of this share of the positions. By Cauchy-Schwarz it
# lies within sqrt(64) standard deviations of the mean, whatever the data, so
# variances about it lose at most 6 bits.
_SAMPLE = 64


def _product(sizes):
    """The product of sizes that may be tensors; an int where none is."""
    tensors = [size for size in sizes if not isinstance(size, int)]
    product = math.prod(size for size in sizes if isinstance(size, int))
    for size in tensors:
        product = product * size
    return product


class Layout:
    """Views x of any rank as `[rows, before, channels, after]`.

    A row holds `examples` consecutive examples, the unit whose moments are
    kept apart: 1, a number E (where the batch is no multiple of E, rows fall
    back to one example each), or None for the whole batch in one row. Only
    the shape changes, no element moves. A table is `[rows, channels]`.
    """

    def __init__(self, x, axis=-1, examples=1):
        self.shape = tuple(ops.shape(x))
        self.axis = axis % len(self.shape)
        batch = self.shape[0]
        if examples is None:
            self.examples = batch
            rows = 1
        else:
            self.examples = _whole_rows(batch, examples)
            rows = batch // self.examples
        self.before = _product(self.shape[1 : self.axis])
        self.channels = self.shape[self.axis]
        self.after = _product(self.shape[self.axis + 1 :])
        self.view = (
            rows,
            self.examples * self.before,
            self.channels,
            self.after,
        )
        self.axes = (1, 3)

    @property
    def positions(self):
        """How many elements of a channel a row holds."""
        return self.view[1] * self.view[3]

    def rows(self, x):
        return ops.reshape(x, self.view)

    def restore(self, rows):
        return ops.reshape(rows, self.shape)

    def mask(self, mask):
        """`mask` over the leading axes of x without its channel axis."""
        if mask is None:
            return None
        sizes = self.shape[: self.axis] + self.shape[self.axis + 1 :]
        mask = ops.cast(mask, "bool")
        missing = len(sizes) - len(mask.shape)
        mask = ops.reshape(mask, tuple(ops.shape(mask)) + (1,) * missing)
        mask = ops.broadcast_to(mask, sizes)
        return ops.reshape(mask, (*self.view[:2], 1, self.view[3]))

    def spread(self, table):
        """A table as something that broadcasts against rows.

        The sum with zeros changes no value. XLA keeps the result of a sum in
        memory; without it, the tables' own arithmetic (indices of groups,
        above all) is done again for each element of x, at half the speed.
        """
        if native.compiling():
            table = ops.sum(ops.stack([table, ops.zeros_like(table)]), axis=0)
        rows, channels = ops.shape(table)
        return ops.reshape(table, (rows, 1, channels, 1))

    @property
    def _long_axis(self):
        single = isinstance(self.after, int) and self.after == 1
        return 1 if single else 3

    def sum(self, rows):
        """Sums over the positions of a row: a table."""
        count, _, _, after = self.view
        axes = (count, self.examples, self.before, self.channels, after)
        if native.compiling():
            rows = ops.reshape(rows, axes)
            axis, size = _longest(axes, (1, 2, 4))
            parts = _divisor(size, _PARTS)
            first, *others = ops.split(rows, parts, axis=axis)
            return ops.sum(sum(others, first), axis=(1, 2, 4))
        axis = self._long_axis
        size = ops.shape(rows)[axis]
        run = _divisor(self.before if axis == 1 else self.after, _RUN)
        if run >= _PARTS:
            return self._sum_of_runs(rows, axis, size // run, run)
        if isinstance(size, int) and size <= _RUN:
            return ops.sum(rows, axis=self.axes)
        whole = size // _RUN
        head, tail = (
            (rows[:, : whole * _RUN], rows[:, whole * _RUN :])
            if axis == 1
            else (rows[..., : whole * _RUN], rows[..., whole * _RUN :])
        )
        rest = ops.sum(tail, axis=self.axes)
        return self._sum_of_runs(head, axis, whole, _RUN) + rest

    def _sum_of_runs(self, rows, axis, runs, run):
        shape = list(ops.shape(rows))
        shape[axis : axis + 1] = [runs, run]
        rows = ops.sum(ops.reshape(rows, shape), axis=axis + 1)
        return ops.sum(rows, axis=self.axes)

    def sample(self, rows):
        """The first of the positions, one in `_SAMPLE`, rounded up."""
        size = -(-ops.shape(rows)[self._long_axis] // _SAMPLE)
        if self._long_axis == 1:
            return rows[:, :size]
        return rows[:, :, :, :size]


def _whole_rows(batch, examples):
    if isinstance(batch, int):
        return examples if batch % examples == 0 else 1
    return ops.where(batch % examples == 0, examples, 1)


def _longest(sizes, axes):
    """The axis of largest known size, and that size."""
    known = [axis for axis in axes if isinstance(sizes[axis], int)]
    if not known:
        return axes[0], 1
    axis = max(known, key=lambda axis: sizes[axis])
    return axis, sizes[axis]


def _divisor(size, limit):
    """The largest divisor of a size up to a limit; 1 if it is unknown."""
    if not isinstance(size, int):
        return 1
    return next((k for k in range(limit, 1, -1) if size and size % k == 0), 1)
