"""The target of the running statistics for a batch of ghost batches."""

import dataclasses

from keras import ops

from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


def average(batch: Moments, rows: Moments, ghost_batch_size: int) -> Moments:
    """Averages the means and the variances of the ghost batches.

    The averages are weighted by counts. That of the means is the mean of the
    batch. That of the variances is smaller than the variance of the batch, by
    the variance of the ghost batches' means.

    Args:
        batch: the moments of the whole batch.
        rows: the moments of its ghost batches, repeated for each row.
        ghost_batch_size: the number of examples per ghost batch.
    """
    count, ghosts = _select_ghost_batches(rows, ghost_batch_size)
    weight = count * reciprocal(ops.sum(count, axis=0), count.dtype)
    variance = ops.sum(weight * ghosts.variance, axis=0, keepdims=True)
    return dataclasses.replace(batch, variance=variance)


def sequential(
    batch: Moments,
    rows: Moments,
    ghost_batch_size: int,
    momentum: float,
    moving_mean: Tensor,
    moving_variance: Tensor,
    total: bool = False,
) -> Moments:
    """The target of one update that equals one update per ghost batch.

    After updates with s[0], ..., s[G - 1], in order, a running statistic r is

        r + (1 - p) sum over k of p**(G - 1 - k) (s[k] - r)

    with p the momentum, as after one update with the target r + that sum. The
    target's variance is not that of any examples and may be negative. An empty
    ghost batch makes no update.

    Args:
        batch, rows, ghost_batch_size: see `average`.
        momentum: p.
        moving_mean, moving_variance: the running statistics.
        total: whether the update adds `p (moving mean - target mean)**2` to
            the target variance, so that it averages second moments. The target
            variance is then that of second moments about the moving mean.
    """
    count, ghosts = _select_ghost_batches(rows, ghost_batch_size)
    present = ops.cast(count > 0, count.dtype)
    later_updates = ops.sum(present, axis=0) - ops.cumsum(present, axis=0)
    weight = present * momentum**later_updates

    def target(running: Tensor, statistics: Tensor) -> Tensor:
        change = weight * (statistics - running)
        return running[None] + ops.sum(change, axis=0, keepdims=True)

    mean = target(moving_mean, ghosts.mean + ghosts.residual)
    variances = ghosts.variance
    if total:
        distance = (ghosts.mean - moving_mean) + ghosts.residual
        variances = variances + ops.square(distance)
    variance = target(moving_variance, variances)
    if total:
        variance = variance - ops.square(mean - moving_mean)
    return dataclasses.replace(
        batch, mean=mean, variance=variance, residual=0.0
    )


def _select_ghost_batches(
    rows: Moments, ghost_batch_size: int
) -> tuple[Tensor, Moments]:
    """Returns counts and moments with one row per ghost batch."""
    step = ghost_batch_size // rows.examples
    first = ops.arange(0, ops.shape(rows.mean)[0], step, dtype="int32")

    def take(tensor: Tensor) -> Tensor:
        return ops.take(like(tensor, rows.mean), first, axis=0)

    return take(column(rows.count)), dataclasses.replace(
        rows,
        mean=take(rows.mean),
        variance=take(rows.variance),
        residual=take(rows.residual),
    )
