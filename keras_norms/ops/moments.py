"""The moments algebra: every coarser statistic pools the instance moments."""

import dataclasses
from typing import Any

from keras import ops

from keras_norms import arguments
from keras_norms.ops import replicas
from keras_norms.ops.layout import inverse
from keras_norms.ops.merge import Blocks
from keras_norms.ops.merge import combine
from keras_norms.ops.tables import column
from keras_norms.ops.tables import is_number
from keras_norms.ops.tables import like
from keras_norms.ops.tables import pinned
from keras_norms.ops.tables import row_counts

Tensor = Any


@dataclasses.dataclass(eq=False)
class Moments:
    """Counts, means and variances of the blocks of a tensor, as small tables.

    `mean` and `variance` are `[rows, channels]`, float32 (float64 for float64
    input); variances are biased, `mean((x - mean)**2)`. `count` is `[rows]`,
    `[rows, channels]` where the mask covers the channel axis, or one number
    where all rows hold as many: in layers without a mask. A row with nothing
    in it (no example, all masked) has zeros.

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

    def pool(self, examples=1, groups=-1):
        """Moments of coarser blocks, each entry replaced by its block's.

        Arguments:
            examples: how many consecutive examples make a block; the last may
                have fewer. 1 leaves rows as they are, None pools the whole
                batch, into one row.
            groups: how many groups the channels are pooled in, contiguous and
                equal. -1 keeps each channel apart.

        Counts become those of the blocks, so pool once, over both at a time.

        Raises: ValueError for groups that do not divide the channels, blocks
            below 1, blocks of what is one row already.
        """
        examples = arguments.examples("examples", examples)
        groups = arguments.groups_of(groups, self.mean.shape[1])
        blocks = Blocks(self, examples, groups)
        if blocks.are_entries:
            return self
        count, weight = blocks.weigh(self.count)
        pooled = combine(
            weight,
            self.mean,
            self.variance,
            like(self.residual, self.mean),
            axes=(1, 3),
            split=blocks.split,
            join=blocks.join,
        )
        examples = None if examples is None else self.examples
        return Moments(count, *pooled, examples)

    def minus(self, other):
        """The difference of the means, also where they are large and close."""
        return (self.mean - other.mean) + (self.residual - other.residual)

    def or_mean_of(self, other):
        """Self, with the means of other in rows that hold nothing."""
        if is_number(self.count):
            return self
        present = column(self.count) > 0
        return dataclasses.replace(
            self,
            mean=ops.where(present, self.mean, other.mean),
            residual=ops.where(present, self.residual, other.residual),
        )

    def only_if(self, condition):
        """Self, or those of a standard distribution where it is not used.

        The gradient of a branch that is not taken is multiplied by zero, which
        must not meet infinity.
        """
        return dataclasses.replace(
            self,
            mean=ops.where(condition, self.mean, 0.0),
            variance=ops.where(condition, self.variance, 1.0),
            residual=ops.where(condition, self.residual, 0.0),
        )

    def merge(self, other):
        """The moments of the union of two disjoint sets, entry by entry."""
        own, others = (
            like(column(moments.count), self.mean) for moments in (self, other)
        )
        total = own + others
        share = others * inverse(total, total.dtype)
        counts = [len(getattr(m.count, "shape", ())) for m in (self, other)]
        count = total if 2 in counts else total[:, 0]
        return self._move(other, count, share)

    def blend(self, other, weight):
        """`weight` of self and `1 - weight` of other, mixed as densities.

        `weight` is a number, or a table that broadcasts to `[rows, channels]`.
        The mean is `w m + (1 - w) m'`, the variance
        `w v + (1 - w) v' + w (1 - w) (m - m')**2`: never negative, with no
        difference of squares. An empty row of self is left out.
        """
        arguments.weight(weight)
        if not isinstance(weight, (int, float)):
            weight = ops.cast(weight, self.mean.dtype)
        count = self.count
        if not isinstance(count, (int, float)) or count == 0:
            present = ops.convert_to_tensor(column(count) > 0)
            weight = weight * ops.cast(present, self.mean.dtype)
        # From 0 to a large mean the difference would lose the residual.
        return self.or_mean_of(other)._move(other, 1.0, 1.0 - weight)

    def _move(self, other, count, share):
        """The mixture with so large a share of other, entry by entry."""
        difference = other.minus(self)
        mean = pinned(self.mean + share * difference)
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
            residual = like(self.residual, self.mean)
            count = column(self.count)
            if is_number(count) or count.shape[1] == 1:
                count = like(count, self.mean[:, :1])
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
        merged = [count, *tables]
        if per_group > 1:
            total = ops.sum(count, axis=1, keepdims=True)
            weight = count * inverse(total, count.dtype)
            merged = [total, *combine(weight, *tables, axes=(1,))]
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
        count = row_counts(count)
        return Moments(count, mean, variance, residual, self.examples)

    def average_over_replicas(self, replicas_per_group=1):
        """The mean over groups of replicas of their means and variances.

        The target of the running statistics: the same on each replica, and
        weighted by counts, so that an empty replica changes nothing. It is a
        constant to differentiation. Where replicas cannot exchange tensors,
        as inside `tf.cond`, each has its own moments as its target.
        """
        if replicas.count() == 1 or replicas.average_later():
            return self
        count, mean, variance, residual = map(
            ops.stop_gradient, self._of_replica_groups(replicas_per_group)
        )
        total = ops.sum(count, axis=0)
        weight = count * inverse(total, count.dtype)
        return Moments(
            row_counts(total),
            ops.sum(weight * (mean + residual), axis=0),
            ops.sum(weight * variance, axis=0),
            examples=self.examples,
        )
