"""The moments algebra: every coarser statistic pools the instance moments."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms.ops import native
from keras_norms.ops import replicas
from keras_norms.ops.layout import Layout
from keras_norms.ops.layout import inverse

Tensor = Any


@dataclasses.dataclass(eq=False)
class Moments:
    """Counts, means and variances of the blocks of a tensor, as small tables.

    `mean` and `variance` are `[rows, channels]`, float32 (float64 for float64
    input); variances are biased, `mean((x - mean)**2)`. `count` is `[rows]`,
    or one number where all rows hold as many: in layers without a mask. A row
    with nothing in it (no example, all masked) has zeros.

    A float32 mean of 1e4 is itself off by up to 5e-4, so `residual` carries
    what the rounding left: the mean is `mean + residual`. It is a constant to
    differentiation.

    `examples` is how many examples of the batch a row holds, None for all.

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
        blocks = _Blocks(self, examples, groups)
        if blocks.are_entries:
            return self
        count, weight = blocks.weigh(self.count)
        pooled = _combine(
            weight,
            self.mean,
            self.variance,
            _like(self.residual, self.mean),
            axes=(1, 3),
            split=blocks.split,
            join=blocks.join,
        )
        examples = None if examples is None else self.examples
        return Moments(count, *pooled, examples)

    def merge(self, other):
        """The moments of the union of two disjoint sets, entry by entry."""
        own, others = (
            ops.cast(moments.count, self.mean.dtype)
            for moments in (self, other)
        )
        total = own + others
        return self._move(other, total, others * inverse(total, total.dtype))

    def blend(self, other, weight):
        """`weight` of self and `1 - weight` of other, mixed as densities.

        The mean is `w m + (1 - w) m'`, the variance
        `w v + (1 - w) v' + w (1 - w) (m - m')**2`: never negative, with no
        difference of squares. An empty row of self is left out.
        """
        if not _is_number(self.count):
            weight = weight * ops.cast(self.count > 0, self.mean.dtype)
        return self._move(other, 1.0, 1.0 - weight)

    def _move(self, other, count, share):
        """The mixture with so large a share of other, entry by entry."""
        share = column(share)
        difference = (other.mean - self.mean) + ops.stop_gradient(
            other.residual - self.residual
        )
        mean = self.mean + share * difference
        left = (self.mean - mean) + share * difference
        return Moments(
            count,
            mean,
            self.variance
            + share * (other.variance - self.variance)
            + share * (1.0 - share) * ops.square(difference),
            ops.stop_gradient(left + self.residual),
            self.examples,
        )

    def _of_replica_groups(self, replicas_per_group):
        """Merged moments of each group of replicas, [groups, rows, channels].

        The one collective of a layer: however often it is asked for.
        """
        if self._gathered is None:
            residual = _like(self.residual, self.mean)
            count = _like(column(self.count), self.mean[:, :1])
            tables = [self.mean, self.variance, residual, count]
            self._gathered = replicas.gather(ops.concatenate(tables, axis=1))
        table = self._gathered
        size = table.shape[0]
        per_group = replicas.group_size(replicas_per_group, size)
        shape = (size // per_group, per_group, *ops.shape(table)[1:])
        table = ops.reshape(table, shape)
        channels = self.mean.shape[1]
        *tables, count = ops.split(
            table, [channels, 2 * channels, 3 * channels], axis=3
        )
        total = ops.sum(count, axis=1, keepdims=True)
        weight = count * inverse(total, count.dtype)
        merged = (total, *_combine(weight, *tables, axes=(1,)))
        return [ops.squeeze(table, axis=1) for table in merged]

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
        own = replicas.index() // (replicas.count() // groups[0].shape[0])
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
        weight = count * inverse(total, count.dtype)
        return Moments(
            total[:, 0],
            ops.sum(weight * (mean + residual), axis=0),
            ops.sum(weight * variance, axis=0),
            examples=self.examples,
        )


class _Blocks:
    """Tables [rows, channels] as [blocks, size, groups, width], and back."""

    def __init__(self, moments, examples, groups):
        self.like = moments.mean
        self.channels = self.like.shape[1]
        self.width = 1 if groups is None else self.channels // groups
        self.whole = examples is None
        self.padding = 0
        if examples == 1 or (self.whole and moments.examples is None):
            self.size = 1
        elif moments.examples is None:
            raise ValueError(
                "Moments of the whole batch cannot be split into blocks. "
                f"Received: examples={examples}. Pool moments of examples, "
                "those of `instance_moments`."
            )
        elif self.whole:
            self.size = ops.shape(self.like)[0]
        else:
            self.size = examples // moments.examples
            self.rows = ops.shape(self.like)[0]
            self.padding = -self.rows % self.size

    @property
    def are_entries(self):
        return self.width == 1 and _is(self.size, 1)

    def split(self, table):
        if not _is(self.padding, 0):
            table = ops.pad(table, ((0, self.padding), (0, 0)))
        shape = (1, -1) if self.whole else (-1, self.size)
        shape += (self.channels // self.width, self.width)
        return ops.reshape(table, shape)

    def join(self, table):
        """Each entry as often as it has members, but one row for a batch."""
        size = 1 if self.whole else self.size
        if not (_is(size, 1) and self.width == 1):
            table = table + ops.zeros((1, size, 1, self.width), table.dtype)
        table = ops.reshape(table, (-1, self.channels))
        return table if _is(self.padding, 0) else table[: self.rows]

    def weigh(self, count):
        """The blocks' counts, and the weights of their members."""
        if _is_number(count) and _is(self.padding, 0):
            members = self.size * self.width
            return count * members, inverse(members, self.like.dtype)
        table = self.split(_like(column(count), self.like))
        total = ops.sum(table, axis=(1, 3), keepdims=True)
        weight = table * inverse(total, total.dtype)
        return self.join(total)[:, 0], weight


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
    view, mask = layout.view(as_float(x)), layout.mask(mask)
    pivot = find_pivot(layout, view, mask)
    shifted = view - layout.spread_all(pivot)
    moments = shifted_moments(layout, shifted, pivot, mask)
    if mask is None:
        moments.count = _like(moments.count, moments.mean[:, 0])
    return moments


def find_pivot(layout, view, mask):
    """A table near the means: all else is computed from `view - pivot`.

    Differences from it are of the size of the deviation, so float32 keeps
    the deviation's digits however large the mean is. It is a value of the row
    plus the mean difference from it: where a row is constant, that value
    exactly.
    """
    if mask is None:
        sample = layout.sample(view)
        value = layout.first(sample)
        difference = layout.mean(sample - layout.spread(value))
    else:
        count = layout.sum(ops.cast(mask, view.dtype))
        lowest = -float("inf")
        value = layout.max(ops.where(mask, view, lowest))
        value = ops.where(count > 0, value, 0.0)
        difference = ops.where(mask, view - layout.spread_all(value), 0.0)
        difference = layout.sum(difference) * inverse(count, view.dtype)
    return ops.stop_gradient(value + difference)


def shifted_moments(layout, shifted, pivot, mask):
    """Pass 1: the moments of each row from sums of `view - pivot`."""
    if mask is None:
        count = layout.count(shifted)
        over_count = inverse(count, pivot.dtype)
    else:
        count = layout.sum(ops.cast(mask, pivot.dtype))
        over_count = inverse(count, pivot.dtype)
        count = count[:, 0]
        shifted = ops.where(mask, shifted, 0.0)
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


def _itself(table):
    return table


def _combine(
    weight, mean, variance, residual, axes, split=_itself, join=_itself
):
    """Chan's merge over axes of split tables, about one of the means.

    Its gradient is written out: one derived from these steps has many times
    as many. With W and V the sums of d mean and d variance over a block, each
    member's are weight (W + 2 V (its mean - the block's)) and weight V.
    """

    def total(table):
        return ops.sum(table, axis=axes, keepdims=True)

    @native.custom_gradient
    def combine(mean, variance):
        mean, variance = split(mean), split(variance)
        one = [slice(None)] * len(mean.shape)
        for axis in axes:
            one[axis] = slice(0, 1)
        # The total of one: 0 where there is none.
        some = total(mean[tuple(one)])
        pooled = some + total(weight * (mean - some))
        difference = (mean - pooled) + split(residual)
        left = total(weight * difference)
        square = total(weight * (variance + ops.square(difference)))
        square = ops.maximum(square - ops.square(left), 0.0)

        def gradient(d_mean, d_variance, _):
            d_variance = total(split(d_variance))
            d_member = total(split(d_mean)) + 2.0 * difference * d_variance
            d_variance = weight * d_variance + ops.zeros_like(mean)
            return join(weight * d_member), join(d_variance)

        return tuple(map(join, (pooled, square, left))), gradient

    mean, variance, residual = combine(mean, variance)
    return mean, variance, ops.stop_gradient(residual)


def as_float(x):
    """x in the dtype of its statistics."""
    return ops.cast(x, statistics_dtype(x))


def statistics_dtype(x):
    """float64 for float64, else float32."""
    float64 = keras.backend.standardize_dtype(x.dtype) == "float64"
    return "float64" if float64 else "float32"


def _like(table, like):
    """A table, or a number, in the shape and dtype of another table."""
    if getattr(table, "shape", None) == like.shape:
        return table
    return ops.zeros_like(like) + ops.cast(table, like.dtype)


def column(count):
    """A count, or a share, to go with tables: a number goes as it is."""
    return count if _is_number(count) else count[:, None]


def _is_number(value):
    return len(getattr(value, "shape", ())) == 0


def _is(size, value):
    return isinstance(size, int) and size == value
