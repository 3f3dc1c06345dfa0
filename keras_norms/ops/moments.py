"""The moments algebra: every coarser statistic pools the instance moments."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms.ops import replicas
from keras_norms.ops.layout import Layout

Tensor = Any


@dataclasses.dataclass(eq=False)
class Moments:
    """Counts, means and variances of the blocks of a tensor, as small tables.

    `count` is `[rows]`, `mean` and `variance` are `[rows, channels]`, float32
    (float64 for float64 input); variances are biased, `mean((x - mean)**2)`.
    A row with nothing in it (no example, all masked) has zeros.

    A float32 mean of 1e4 is itself off by up to 5e-4, so `residual` carries
    what the rounding left: the mean is `mean + residual`. It is a constant to
    differentiation.

    `examples` is how many examples of the batch a row holds.

    Pooling is Chan's merge: the variance of a union is the mean of the
    variances plus the variance of the means, weighted by the counts.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor
    residual: Tensor = 0.0
    examples: Any = 1
    _gathered: Tensor = dataclasses.field(default=None, init=False, repr=False)

    def pool(self, examples=1, groups=None):
        """Moments of coarser blocks, each entry replaced by its block's.

        Arguments:
            examples: how many consecutive examples make a block; the last may
                have fewer. 1 leaves rows as they are, None pools the whole
                batch, into one row.
            groups: how many groups the channels are pooled in, contiguous and
                equal. None keeps each channel apart.

        Counts become those of the blocks, so pool once, over both at a time.
        """
        rows, channels = ops.shape(self.mean)
        if examples is None:
            size = rows
        elif examples == 1:
            size = 1
        else:
            size = examples // self.examples
        width = 1 if groups is None else channels // groups
        if groups is None:
            groups = channels
        if _is(size, 1) and _is(groups, channels):
            return self
        blocks = 1 if examples is None else -(-rows // size)

        shape = (blocks, size, groups, width)

        def split(table):
            table = _like(table, self.mean)
            if examples is not None:
                table = ops.pad(table, ((0, blocks * size - rows), (0, 0)))
            return ops.reshape(table, shape)

        def join(table):
            if examples is None:
                table = ops.broadcast_to(table, (1, 1, *shape[2:]))
                return ops.reshape(table, (1, channels))
            table = ops.broadcast_to(table, shape)
            return ops.reshape(table, (blocks * size, channels))[:rows]

        pooled = _combine(*map(split, self._tables), axis=(1, 3))

        count, mean, variance, residual = map(join, pooled)
        held = self.examples * rows if examples is None else self.examples
        return Moments(count[:, 0], mean, variance, residual, held)

    def merge(self, other):
        """The moments of the union of two disjoint sets, entry by entry."""
        return self._weighted(other, self.count, other.count)

    def blend(self, other, weight):
        """`weight` of self and `1 - weight` of other, mixed as densities.

        The mean is `w m + (1 - w) m'`, the variance
        `w v + (1 - w) v' + w (1 - w) (m - m')**2`: never negative, with no
        difference of squares. An empty row of self is left out.
        """
        weight = weight * ops.cast(self.count > 0, self.mean.dtype)
        return self._weighted(other, weight, 1.0 - weight)

    @property
    def _tables(self):
        return self.count[:, None], self.mean, self.variance, self.residual

    def _weighted(self, other, weight, other_weight):
        like = self.mean + other.mean
        pairs = zip(
            (weight[:, None], *self._tables[1:]),
            (other_weight[:, None], *other._tables[1:]),
            strict=True,
        )
        count, mean, variance, residual = _combine(
            *(ops.stack([_like(a, like), _like(b, like)]) for a, b in pairs),
            axis=0,
            keepdims=False,
        )
        return Moments(count[:, 0], mean, variance, residual, self.examples)

    def _of_replicas(self):
        """Tables of all replicas, [replicas, rows, 3 channels + 1], once."""
        if self._gathered is None:
            residual = _like(self.residual, self.mean)
            tables = [self.mean, self.variance, residual, self.count[:, None]]
            self._gathered = replicas.gather(ops.concatenate(tables, axis=1))
        return self._gathered

    def _of_replica_groups(self, replicas_per_group):
        """Merged moments of each group of replicas, [groups, rows, channels].

        The one collective of a layer: however often it is asked for.
        """
        table = self._of_replicas()
        size = table.shape[0]
        per_group = replicas.group_size(replicas_per_group, size)
        shape = (size // per_group, per_group, *ops.shape(table)[1:])
        table = ops.reshape(table, shape)
        channels = self.mean.shape[1]
        mean, variance, residual, count = ops.split(
            table, [channels, 2 * channels, 3 * channels], axis=3
        )
        return _combine(
            count, mean, variance, residual, axis=1, keepdims=False
        )

    def across_replicas(self, replicas_per_group=None):
        """Moments merged over the replicas of a `tf.distribute` strategy.

        Exact for uneven and for empty replicas: counts weigh. One all-reduce,
        and one for its gradient. The identity with one replica or none.

        Arguments:
            replicas_per_group: how many neighbouring replicas are merged;
                None is all of them.
        """
        if replicas.count() == 1 or replicas_per_group == 1:
            return self
        groups = self._of_replica_groups(replicas_per_group)
        own = replicas.index() // (replicas.count() // ops.shape(groups[0])[0])
        count, mean, variance, residual = (
            ops.take(table, own, axis=0) for table in groups
        )
        return Moments(count[:, 0], mean, variance, residual, self.examples)

    def average_over_replicas(self, replicas_per_group=1):
        """The mean over groups of replicas of their means and variances.

        What running statistics follow: the same on each replica, and weighted
        by counts, so that an empty replica changes nothing. A constant to
        differentiation.
        """
        if replicas.count() == 1:
            return self
        count, mean, variance, residual = map(
            ops.stop_gradient, self._of_replica_groups(replicas_per_group)
        )
        total = ops.sum(count, axis=0)
        weight = count / ops.maximum(total, 1.0)
        return Moments(
            total[:, 0],
            ops.sum(weight * (mean + residual), axis=0),
            ops.sum(weight * variance, axis=0),
            examples=self.examples,
        )


def instance_moments(x, mask=None, axis=-1):
    """Count, mean and variance of each channel of each example.

        mean[n, c]     = sum over positions s of x[n, s, c] / count[n]
        variance[n, c] = sum over s of (x[n, s, c] - mean[n, c])**2 / count[n]

    Arguments:
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        mask: booleans over the leading axes of x without its channel axis;
            False positions are left out, whatever they hold.
        axis: the channel axis.

    Returns: `Moments` with `count` `[batch]`, `mean` and `variance`
        `[batch, channels]`, float32 or, for float64 input, float64.

    Example:

    >>> import numpy as np
    >>> from keras_norms.ops import instance_moments
    >>> x = np.arange(12.0).reshape(1, 2, 2, 3)
    >>> moments = instance_moments(x)
    >>> print(np.array(moments.mean))
    [[4.5 5.5 6.5]]
    >>> print(np.array(moments.variance))
    [[11.25 11.25 11.25]]
    """
    x = ops.convert_to_tensor(x)
    layout = Layout(x, axis)
    rows, mask = layout.rows(as_float(x)), layout.mask(mask)
    pivot = find_pivot(layout, rows, mask)
    return shifted_moments(layout, rows - layout.spread(pivot), pivot, mask)


def find_pivot(layout, rows, mask):
    """A table near the means: all else is computed from `rows - pivot`.

    Differences from it are of the size of the deviation, so float32 keeps
    the deviation's digits however large the mean is. It is a value of the row
    plus the mean difference from it: where a row is constant, that value
    exactly.
    """
    if mask is None:
        sample = layout.sample(rows)
        value = ops.sum(sample[:, :1, :, :1], axis=layout.axes)
        count = ops.cast(
            ops.shape(sample)[1] * ops.shape(sample)[3], rows.dtype
        )
        difference = sample - value[:, None, :, None]
        difference = ops.sum(difference, axis=layout.axes)
    else:
        count = ops.sum(ops.cast(mask, rows.dtype), axis=(1, 2, 3))[:, None]
        lowest = -float("inf")
        value = ops.where(mask, rows, lowest)
        value = ops.max(value, axis=layout.axes, initial=lowest)
        value = ops.where(count > 0, value, 0.0)
        difference = ops.where(mask, rows - layout.spread(value), 0.0)
        difference = layout.sum(difference)
    return ops.stop_gradient(value + difference / ops.maximum(count, 1.0))


def shifted_moments(layout, shifted, pivot, mask):
    """Pass 1: the moments of each row from sums of `rows - pivot`."""
    if mask is None:
        count = ops.cast(layout.positions, pivot.dtype)
        count = ops.broadcast_to(count, (layout.view[0],))
    else:
        count = ops.sum(ops.cast(mask, pivot.dtype), axis=(1, 2, 3))
        shifted = ops.where(mask, shifted, 0.0)
    over_count = 1.0 / ops.maximum(count, 1.0)[:, None]
    offset = layout.sum(shifted) * over_count
    square = layout.sum(ops.square(shifted)) * over_count
    mean = pivot + offset
    return Moments(
        count,
        mean,
        ops.maximum(square - ops.square(offset), 0.0),
        ops.stop_gradient((pivot - mean) + offset),
        layout.examples,
    )


def _combine(count, mean, variance, residual, axis, keepdims=True):
    """Chan's merge over axes of stacked moments, about one of their means."""

    def total(table):
        return ops.sum(table, axis=axis, keepdims=True)

    total_count = total(count)
    # Blends weigh by fractions of 1; counts below 1 are counts of nothing.
    weight = count / ops.where(total_count > 0, total_count, 1.0)
    axes = (axis,) if isinstance(axis, int) else axis
    one = tuple(
        slice(0, 1) if a in axes else slice(None) for a in range(mean.ndim)
    )
    some = ops.stop_gradient(total(mean[one]))
    pooled_mean = some + total(weight * (mean - some))
    difference = (mean - pooled_mean) + residual
    pooled_residual = ops.stop_gradient(total(weight * difference))
    pooled_variance = total(weight * (variance + ops.square(difference)))
    pooled_variance = ops.maximum(
        pooled_variance - ops.square(pooled_residual), 0.0
    )
    tables = (total_count, pooled_mean, pooled_variance, pooled_residual)
    if keepdims:
        return tables
    return tuple(ops.squeeze(table, axis=axis) for table in tables)


def as_float(x):
    """x in the dtype of statistics: float64 if it is that, else float32."""
    float64 = keras.backend.standardize_dtype(x.dtype) == "float64"
    return ops.cast(x, "float64" if float64 else "float32")


def _like(table, like):
    """A table, or a number, in the shape of another table."""
    same = getattr(table, "shape", None) == like.shape
    if same and None not in tuple(like.shape):
        return table
    return ops.zeros_like(like) + table


def _is(size, value):
    return isinstance(size, int) and isinstance(value, int) and size == value
