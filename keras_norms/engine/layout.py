"""Maps x to rows of examples, and reduces over every axis but the channels."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_norms import validation
from keras_norms.engine.reductions import presum_compiled
from keras_norms.engine.reductions import presum_eager
from keras_norms.engine.reductions import take
from keras_norms.native import tracing
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.arrays import materialized
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Tensor

# The pivot is the mean of this share of the positions. By Cauchy-Schwarz it
# lies within sqrt(64) standard deviations of the mean, whatever the data, so
# variances computed about it lose at most 6 bits.
_SAMPLE = 64

# The pivot of a row with at most this many positions is its mean, so no bits
# are lost. Reading so small a row twice costs no time.
_SMALL = 1024


class Layout:
    """How the rows of the statistics, `[rows, channels]`, lie in x.

    A row holds `examples` consecutive examples: 1, `None` for the whole batch,
    or a number E. Where the batch is not a multiple of E, a row holds one
    example. Only a number E needs another view of x, `[rows, E, ...]`. All
    sizes but the number of channels may be unknown.

    Args:
        x: a tensor `[batch, ...]`.
        axis: the channel axis.
        examples: how many examples share a row.
    """

    def __init__(
        self, x: Tensor, axis: int = -1, examples: int | None = 1
    ) -> None:
        self.axis = axis % len(x.shape)
        self.channels = x.shape[self.axis]
        self.requested_examples = examples
        self.examples: Any = examples
        self._x = x
        self._shape: tuple[Any, ...] | None = None
        others = [a for a in range(len(x.shape)) if a != self.axis]
        if examples in (1, None):
            self._view = tuple(x.shape)
            self._axes = others if examples is None else others[1:]
            self._channel_axis = self.axis
        else:
            self._shape = tuple(ops.shape(x))
            batch, *sizes = self._shape
            self.examples = _examples_per_row(batch, examples)
            self._view = (batch // self.examples, self.examples, *sizes)
            self._axes = [1, *(a + 1 for a in others[1:])]
            self._channel_axis = self.axis + 1

    def broadcast_rows(self, coefficients: Coefficients) -> Coefficients:
        """Coefficients with a value for every row and channel."""
        return Coefficients(
            self._broadcast(coefficients.center),
            self._broadcast(coefficients.scale),
            self._broadcast(coefficients.shift),
            coefficients.updates,
            {
                name: self._broadcast(output)
                for name, output in coefficients.outputs.items()
            },
        )

    def _broadcast(self, tensor: Tensor) -> Tensor:
        tensor = ops.convert_to_tensor(tensor, statistics_dtype(self._x.dtype))
        rows = 1 if self.examples is None else self._view[0]
        known = isinstance(rows, int)
        have = tuple(tensor.shape)
        # Where the number of rows is unknown, only 1 is known to be wrong.
        fits = len(have) == 2 and have[1] == self.channels
        if fits and (have[0] == rows if known else have[0] != 1):
            return tensor
        if rows is None:
            rows = ops.shape(self._x)[0]
        return ops.broadcast_to(tensor, (rows, self.channels))

    def view(self, x: Tensor) -> Tensor:
        """x with the axes that `sum` and the other reductions expect."""
        return x if self._shape is None else ops.reshape(x, self._view)

    def restore(self, view: Tensor) -> Tensor:
        """The inverse of `view`."""
        return view if self._shape is None else ops.reshape(view, self._shape)

    def mask(self, mask: Tensor | None) -> Tensor | None:
        """The view of a mask, see `validation.mask_shape` for its shapes."""
        if mask is None:
            return None
        per_channel = validation.has_channels(mask, self._x.shape, self.axis)
        mask = ops.cast(ops.convert_to_tensor(mask), "bool")
        sizes = list(ops.shape(mask))
        sizes += [1] * (len(self._x.shape) - 1 - len(sizes))
        sizes.insert(len(sizes) if per_channel else self.axis, 1)
        mask = ops.reshape(mask, sizes)
        sizes = list(ops.shape(self._x))
        if not per_channel:
            sizes[self.axis] = 1
        mask = ops.broadcast_to(mask, sizes)
        if self._shape is None:
            return mask
        return ops.reshape(mask, (*self._view[:2], *sizes[1:]))

    def expand(self, tensor: Tensor) -> Tensor:
        """Reshapes `[rows, channels]` to broadcast against the view."""
        shape = [1] * len(self._view)
        shape[0], shape[self._channel_axis] = -1, self.channels
        return ops.reshape(tensor, shape)

    def expand_materialized(self, tensor: Tensor) -> Tensor:
        """`expand`, for arithmetic with all of x.

        XLA would otherwise recompute the small tensor (above all the indices
        of groups) for each element of x, which takes twice the time.
        """
        return self.expand(materialized(tensor))

    def count(self, view: Tensor) -> Any:
        """The number of elements per row and channel; an int if known."""
        sizes = [view.shape[axis] for axis in self._axes]
        if None in sizes:
            shape = ops.shape(view)
            sizes = [shape[axis] for axis in self._axes]
        count = math.prod(size for size in sizes if isinstance(size, int))
        for size in sizes:
            if not isinstance(size, int):
                count = count * size
        return count

    def sum(self, view: Tensor) -> Tensor:
        """Sums over the positions of a row: `[rows, channels]`."""
        if not self._axes:
            return view
        if tracing.compiling():
            view = presum_compiled(view, self._axes, self._view)
        else:
            view = presum_eager(
                view, self._axes, self._view, self._channel_axis
            )
        return self._reduce(view)

    def sample(self, view: Tensor) -> Tensor:
        """One position in `_SAMPLE`, or all positions of a small row."""
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
        return take(view, [axis], 0, -(-size // _SAMPLE))

    def first(self, view: Tensor) -> Tensor:
        """The first position of each row, `[rows, channels]`, or 0."""
        return self._reduce(take(view, self._axes, 0, 1))

    def mean(self, sample: Tensor) -> Tensor:
        """Means over the positions of a sample: `[rows, channels]`."""
        reciprocal_count = reciprocal(self.count(sample), sample.dtype)
        return self._reduce(sample) * reciprocal_count

    def plain_mean(self, view: Tensor) -> Tensor:
        """`mean` as one operation, undefined for rows without positions."""
        return self._reduce(view, ops.mean)

    def max(self, view: Tensor, mask: Tensor) -> Tensor:
        """The maximum of the unmasked positions: `[rows, channels]`.

        The maximum of no positions is the lowest finite number, because
        `tf.debugging.enable_check_numerics` takes infinities for errors.
        """
        if 0 in view.shape:
            return self.sum(view)
        lowest = float(np.finfo(statistics_dtype(view.dtype)).min)
        return self._reduce(ops.where(mask, view, lowest), ops.max)

    def _reduce(
        self, view: Tensor, reduction: Callable[..., Tensor] = ops.sum
    ) -> Tensor:
        if self._axes:
            view = reduction(view, axis=self._axes)
        return ops.reshape(view, (1, -1)) if self.examples is None else view


def _examples_per_row(batch: Any, examples: Any) -> Any:
    """The number of examples per row, which must divide the batch."""
    if isinstance(batch, int):
        return examples if batch % examples == 0 else 1
    return ops.where(batch % examples == 0, examples, 1)
