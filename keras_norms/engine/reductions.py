"""Partial sums before the final reduction, for speed and for accuracy.

Each function sums over some of the positions and keeps the rank, so that the
same final reduction completes the sum.
"""

from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_norms.types import Tensor

# Integers where sizes are known, otherwise tensors or `None`.
Sizes = Sequence[Any]

# A compiler vectorizes additions but not reductions, so this many slices are
# added before the reduction. Op by op, slicing costs a copy.
_SLICES = 8

# Op by op, an axis of known size is first summed in runs of this length: the
# rounding of a sum grows with its length.
_RUN = 1024


def presum_compiled(view: Tensor, axes: list[int], sizes: Sizes) -> Tensor:
    """Adds slices along the axis that divides best."""
    slices = {a: _divisor(sizes[a], _SLICES) for a in _known(axes, sizes)}
    if not slices:
        return view
    axis = max(slices, key=lambda a: (slices[a], sizes[a]))
    first, *others = ops.split(view, slices[axis], axis=axis)
    return sum(others, first)


def presum_eager(
    view: Tensor, axes: list[int], sizes: Sizes, channel_axis: int
) -> Tensor:
    """Sums the axes nearest in memory, then long axes in runs.

    Summing the nearest axes by themselves is faster than all axes at once,
    and shorter sums round less.
    """
    nearest = [a for a in axes if a > channel_axis] or axes[-1:]
    long = [
        axis
        for axis in _known(axes, sizes)
        if axis < channel_axis and sizes[axis] > _RUN
    ]
    if nearest != axes and nearest[-1] not in long:
        view = ops.sum(view, axis=nearest, keepdims=True)
    for axis in long:
        view = _sum_runs(view, axis, sizes[axis])
    return view


def take(view: Tensor, axes: list[int], start: int, end: Any) -> Tensor:
    """The slice `start:end` of each of the axes."""
    index = [slice(None)] * len(view.shape)
    for axis in axes:
        index[axis] = slice(start, end)
    return view[tuple(index)]


def _sum_runs(view: Tensor, axis: int, size: int) -> Tensor:
    """Sums runs along one axis, [..., size, ...] -> [..., runs, ...]."""
    divisible = size // _RUN * _RUN
    shape = list(ops.shape(view))
    shape[axis : axis + 1] = [divisible // _RUN, _RUN]
    head = ops.reshape(take(view, [axis], 0, divisible), shape)
    head = ops.sum(head, axis=axis + 1)
    if divisible == size:
        return head
    tail = take(view, [axis], divisible, size)
    tail = ops.sum(tail, axis=axis, keepdims=True)
    return ops.concatenate([head, tail], axis=axis)


def _known(axes: Iterable[int], sizes: Sizes) -> list[int]:
    return [axis for axis in axes if isinstance(sizes[axis], int)]


def _divisor(size: int, limit: int) -> int:
    """The largest divisor of a size up to a limit."""
    return next((k for k in range(limit, 1, -1) if size and size % k == 0), 1)
