"""What replicas send each other, and the statistics of groups of them.

Pure functions of tensors, which `replica_merge.py` calls around an all-reduce.
"""

from typing import Any

from keras import ops

from keras_norms.native.tracing import traced_once
from keras_norms.statistics import replicas
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_scalar
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.merge import average_moments
from keras_norms.types import Tensor

# Count, mean, variance and residual, see `Moments`.
Statistics = tuple[Tensor, Tensor, Tensor, Tensor]

# Up to this many replicas send their statistics as rows of a table, in the
# dtype of the statistics. More replicas send sums in float64, whose size does
# not grow with their number, but which lose the variance of large means.
LARGEST_TABLE = 64


def uses_table(total: int) -> bool:
    """Whether this number of replicas sends a table instead of sums."""
    return total <= LARGEST_TABLE


@traced_once
def row(
    count: Tensor, mean: Tensor, variance: Tensor, residual: Tensor
) -> Tensor:
    """The statistics side by side. The count may have one value per row."""
    count = column(count)
    if is_scalar(count):
        count = like(count, mean[:, :1])
    residual = like(residual, mean)
    count = ops.cast(count, mean.dtype)
    return ops.concatenate([mean, variance, residual, count], axis=1)


@traced_once
def terms(row: Tensor, channels: int) -> Tensor:
    """n mean, n variance, n mean**2 and n, which is the count."""
    mean, variance, residual, count = _split(
        ops.cast(row, "float64"), channels
    )
    mean = mean + residual
    first = count * mean
    tensors = [first, count * variance, first * mean, count]
    return ops.concatenate(tensors, axis=1)


def _split(tensor: Tensor, channels: int) -> Any:
    """Three tensors of the channels, and the counts."""
    sizes = [channels] * 3 + [tensor.shape[-1] - 3 * channels]
    return replicas.split(tensor, sizes)


def _groups(
    sent: Tensor, channels: int, total: int, size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Count, mean and variances of each group, in float64.

    Returns: `[groups, rows, channels]`; the variances within replicas and
        between their means.
    """
    rows = ops.shape(sent)[-2]
    if not uses_table(total):
        sent = ops.reshape(sent, (-1, rows, sent.shape[-1]))
        first, within, second, count = _split(sent, channels)
        over_count = reciprocal(count, count.dtype)
        mean = first * over_count
        # The relative error of the variance is 5e-16 (mean / deviation)**2.
        between = ops.maximum(second * over_count - ops.square(mean), 0.0)
        return count, mean, within * over_count, between
    shape = (total // size, size, rows, sent.shape[-1])
    sent = ops.reshape(ops.cast(sent, "float64"), shape)
    mean, variance, residual, count = _split(sent, channels)
    mean = mean + residual
    counts = ops.sum(count, axis=1, keepdims=True)
    share = count * reciprocal(counts, count.dtype)
    center = ops.sum(share * mean, axis=1, keepdims=True)
    within = ops.sum(share * variance, axis=1)
    between = ops.sum(share * ops.square(mean - center), axis=1)
    return ops.squeeze(counts, 1), ops.squeeze(center, 1), within, between


@traced_once
def group(
    sent: Tensor, channels: int, dtype: str, total: int, size: int, index: Any
) -> Statistics:
    """The statistics of one group, `[rows, channels]`."""
    count, mean, within, between = _groups(sent, channels, total, size)
    variance = within + between
    if total > size:
        count, mean, variance = (
            ops.take(each, index, axis=0) for each in (count, mean, variance)
        )
    else:
        count, mean, variance = (
            ops.squeeze(each, 0) for each in (count, mean, variance)
        )
    rounded = ops.cast(mean, dtype)
    residual = mean - ops.cast(rounded, "float64")
    count, variance, residual = (
        ops.cast(each, dtype) for each in (count, variance, residual)
    )
    return count, rounded, variance, residual


@traced_once
def average(
    sent: Tensor, channels: int, dtype: str, total: int, size: int, union: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Averages over the groups, with the variance of their means or not."""
    count, mean, within, between = _groups(sent, channels, total, size)
    of_single_replicas = size == 1 and not uses_table(total)
    variance = within if of_single_replicas and not union else within + between
    averages = average_moments((count, mean, variance, 0.0), union)
    count, mean, variance = (ops.cast(each, dtype) for each in averages)
    return count, mean, variance
