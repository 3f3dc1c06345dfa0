"""What running averages follow of a batch of ghost batches."""

import dataclasses

from keras import ops

from keras_norms.ops.layout import inverse
from keras_norms.ops.tables import column
from keras_norms.ops.tables import like


def followed(statistics, batch, rows, size, momentum, mean, variance):
    """Moments of a batch by one of the conventions of papers.

    `rows` are the moments of its ghost batches of so many examples, `mean`
    and `variance` the running averages.
    """
    if statistics == "batch":
        return batch
    if statistics == "average":
        return _average(batch, rows, size)
    return _sequential(batch, rows, size, momentum, mean, variance)


def _average(batch, rows, size):
    """The mean over ghost batches of their means and of their variances.

    Weighted by counts: the mean is the batch's, the variance smaller than the
    batch's by that of the ghost batches' means.
    """
    count, ghosts = _ghosts(rows, size)
    weight = count * inverse(ops.sum(count, axis=0), count.dtype)
    variance = ops.sum(weight * ghosts.variance, axis=0, keepdims=True)
    return dataclasses.replace(batch, variance=variance)


def _sequential(batch, rows, size, momentum, mean, variance):
    """What makes one step of averages equal to one for each ghost batch.

    After steps towards s[0], ..., s[G - 1] an average r is

        r + (1 - p) sum over k of p**(G - 1 - k) (s[k] - r)

    which is one step towards r + that sum. Empty ghost batches are no step.
    """
    count, ghosts = _ghosts(rows, size)
    present = ops.cast(count > 0, count.dtype)
    after = ops.sum(present, axis=0) - ops.cumsum(present, axis=0)
    weight = present * momentum**after

    def target(average, statistics):
        move = ops.sum(weight * (statistics - average), axis=0, keepdims=True)
        return average[None] + move

    return dataclasses.replace(
        batch,
        mean=target(mean, ghosts.mean + ghosts.residual),
        variance=target(variance, ghosts.variance),
        residual=0.0,
    )


def _ghosts(rows, size):
    """Counts and moments of ghost batches, a row each."""
    step = size // rows.examples
    first = ops.arange(0, ops.shape(rows.mean)[0], step, dtype="int32")

    def one_each(table):
        return ops.take(like(table, rows.mean), first, axis=0)

    return one_each(column(rows.count)), dataclasses.replace(
        rows,
        mean=one_each(rows.mean),
        variance=one_each(rows.variance),
        residual=one_each(rows.residual),
    )
