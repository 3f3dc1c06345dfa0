"""Chan's merge of moments, and the blocks that are merged."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_norms import validation
from keras_norms.native import differentiation
from keras_norms.statistics.arrays import UNTRACKED
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_exactly
from keras_norms.statistics.arrays import is_scalar
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import materialized
from keras_norms.statistics.arrays import reciprocal
from keras_norms.types import Tensor

Reshape = Callable[[Tensor], Tensor]


class PoolingBlocks:
    """[rows, channels] as [blocks, rows per block, groups, group size].

    Args:
        moments: the `Moments` to pool.
        examples: the number of examples per block, or `None` for all.
        groups: the number of groups of channels.
    """

    def __init__(
        self, moments: Any, examples: int | None, groups: int
    ) -> None:
        self.like = moments.mean
        self.channels = self.like.shape[1]
        self.group_size = self.channels // groups
        self.is_batch = examples is None
        self.padding: Any = 0
        self.rows_per_block: Any = 1
        if examples == 1 or (self.is_batch and moments.examples is None):
            return
        if moments.examples is None:
            raise ValueError(
                "Moments of the whole batch cannot be split into blocks. "
                f"Received: examples={examples}. Pool moments of examples, "
                "those of `instance_moments`."
            )
        if examples is None:
            self.rows_per_block = ops.shape(self.like)[0]
        else:
            validation.multiple_of_row("examples", examples, moments.examples)
            self.rows_per_block = examples // moments.examples
            self.rows = ops.shape(self.like)[0]
            self.padding = -self.rows % self.rows_per_block

    @property
    def have_one_entry(self) -> bool:
        """Whether every block has one entry."""
        return self.group_size == 1 and is_exactly(self.rows_per_block, 1)

    def split(self, tensor: Tensor) -> Tensor:
        """[rows, channels] to blocks. The last block may be padded."""
        if not is_exactly(self.padding, 0):
            tensor = ops.pad(tensor, ((0, self.padding), (0, 0)))
        rows = (1, -1) if self.is_batch else (-1, self.rows_per_block)
        groups = (self.channels // self.group_size, self.group_size)
        return ops.reshape(tensor, (*rows, *groups))

    def join(self, tensor: Tensor) -> Tensor:
        """Repeats each block for its entries, but gives a batch one row."""
        rows = 1 if self.is_batch else self.rows_per_block
        if not (is_exactly(rows, 1) and self.group_size == 1):
            zeros = ops.zeros((1, rows, 1, self.group_size), tensor.dtype)
            tensor = tensor + zeros
        tensor = ops.reshape(tensor, (-1, self.channels))
        return tensor if is_exactly(self.padding, 0) else tensor[: self.rows]

    def pooling_weights(self, count: Tensor) -> tuple[Tensor, Tensor]:
        """The counts of the blocks, and the weights of their entries."""
        if is_scalar(count) and is_exactly(self.padding, 0):
            entries = self.rows_per_block * self.group_size
            return count * entries, reciprocal(entries, self.like.dtype)
        counts = self.split(like(column(count), self.like))
        total = ops.sum(counts, axis=(1, 3), keepdims=True)
        weight = counts * reciprocal(total, total.dtype)
        total = self.join(total)
        # Unless counts differ by channel, all channels have that of the row.
        per_channel = len(getattr(count, "shape", ())) == 2
        return total if per_channel else total[:, 0], weight


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def merge_moments(
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
    residual: Tensor,
    axes: tuple[int, ...],
    split: Reshape = _identity,
    join: Reshape = _identity,
) -> tuple[Tensor, Tensor, Tensor]:
    """Chan's merge over axes of the split tensors.

    Its gradient is written out, because a derived gradient has four times as
    many operations. With W and V the sums of d mean and d variance over a
    block, the gradient of an entry's mean is
    `weight (W + 2 V (its mean - the block's mean))`, and that of its variance
    is `weight V`.

    Args:
        weight: the weights of the entries, which sum to 1 in each block.
        mean, variance, residual: see `Moments`.
        axes: the axes of a block.
        split, join: reshape to blocks, and back.

    Returns: the mean, the variance and the residual of the blocks.
    """

    def total(tensor: Tensor) -> Tensor:
        return ops.sum(tensor, axis=axes, keepdims=True)

    if residual is UNTRACKED:
        mean, variance = split(mean), split(variance)
        pooled = total(weight * mean)
        square = total(weight * (variance + ops.square(mean - pooled)))
        return join(pooled), join(square), UNTRACKED
    residual = like(residual, mean)

    @differentiation.custom_gradient
    def merged(mean: Tensor, variance: Tensor) -> Any:
        mean, variance = split(mean), split(variance)
        first = [slice(None)] * len(mean.shape)
        for axis in axes:
            first[axis] = slice(0, 1)
        # Differences from the mean of the first entry are summed, against
        # rounding. `total` of that entry is 0 where a block has no entry.
        origin = total(mean[tuple(first)])
        pooled = materialized(origin + total(weight * (mean - origin)))
        difference = (mean - pooled) + split(residual)
        pooled_residual = total(weight * difference)
        square = total(weight * (variance + ops.square(difference)))
        square = ops.maximum(square - ops.square(pooled_residual), 0.0)

        def gradient(
            d_mean: Tensor, d_variance: Tensor, _: Any
        ) -> tuple[Tensor, Tensor]:
            d_variance = total(split(d_variance))
            d_square = 2.0 * (difference - pooled_residual) * d_variance
            d_entry = total(split(d_mean)) + d_square
            d_variance = weight * d_variance + ops.zeros_like(mean)
            return join(weight * d_entry), join(d_variance)

        return tuple(map(join, (pooled, square, pooled_residual))), gradient

    mean, variance, residual = merged(mean, variance)
    return mean, variance, ops.stop_gradient(residual)


def average_moments(
    moments: Sequence[Tensor], total: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The averages over the first axis, weighted by the counts.

    Args:
        moments: count, mean, variance and residual, see `Moments`.
        total: whether the variance of the means is added to the average of
            the variances.

    Returns: the sum of the counts, and the averages.
    """
    count, mean, variance, residual = moments
    counts = ops.sum(count, axis=0)
    weight = count * reciprocal(counts, count.dtype)
    average = ops.sum(weight * (mean + residual), axis=0)
    if total:
        variance = variance + ops.square((mean - average) + residual)
    return counts, average, ops.sum(weight * variance, axis=0)
