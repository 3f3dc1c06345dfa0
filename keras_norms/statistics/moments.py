"""`Moments`, and their operations: pool, merge, blend, across replicas."""

import dataclasses
from typing import Any

from keras import ops

from keras_norms import validation
from keras_norms.statistics import replicas
from keras_norms.statistics.arrays import UNTRACKED
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_scalar
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import materialized
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.arrays import residual_where
from keras_norms.statistics.merge import PoolingBlocks
from keras_norms.statistics.merge import merge_moments
from keras_norms.statistics.replica_merge import ReplicaMerge
from keras_norms.types import Tensor


@dataclasses.dataclass(eq=False)
class Moments:
    """Counts, means and variances of the rows of a tensor.

    An empty row (no example, or all masked) has count, mean and variance 0.
    Pooling is Chan's merge: the variance of a union is the mean of the
    variances plus the variance of the means, both weighted by the counts.

    Args:
        count: Number of positions: `[rows]`, or `[rows, channels]` where the
            mask covers the channel axis, or one number where all rows have the
            same count, as in layers without a mask.
        mean: Tensor `[rows, channels]`, float32, or float64 for float64 input.
        variance: Tensor like the mean. It is biased, `mean((x - mean)**2)`.
        residual: The rounding error of the mean: `mean + residual` is the
            accurate mean. A float32 mean of 1e4 is off by up to 5e-4. It is a
            constant for differentiation. Defaults to `0.0`.
        examples: Number of examples per row, or `None` for the whole batch.
            Defaults to `1`.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor
    residual: Tensor = 0.0
    examples: Any = 1
    _merges: Any = dataclasses.field(default=None, init=False, repr=False)

    def pool(self, examples: int | None = 1, groups: int = -1) -> "Moments":
        """Moments of coarser blocks, repeated for every entry of a block.

        Every entry gets the count of its block. Do not pool the same axis a
        second time, because repeated entries would count repeatedly.

        Args:
            examples: the number of consecutive examples per block, a multiple
                of the examples per row. The last block may have fewer. 1 keeps
                the rows, `None` pools the whole batch into one row.
            groups: the number of groups into which the channels are pooled,
                contiguous and of equal size. -1 keeps every channel.

        Raises: ValueError if `groups` is neither -1 nor a divisor of the
            number of channels, if `examples` is not `None`, 1 or a multiple
            of the examples per row, or if it is above 1 and a row already
            covers the whole batch.
        """
        examples = validation.examples("examples", examples)
        groups = validation.groups_of(groups, self.mean.shape[1])
        blocks = PoolingBlocks(self, examples, groups)
        if blocks.have_one_entry:
            return self
        count, weight = blocks.pooling_weights(self.count)
        tensors = self.mean, self.variance, self.residual
        pooled = merge_moments(
            weight, *tensors, (1, 3), blocks.split, blocks.join
        )
        examples = None if examples is None else self.examples
        return Moments(count, *pooled, examples)

    def minus(self, other: "Moments") -> Tensor:
        """The difference of the means, accurate for close large means."""
        if self.residual is UNTRACKED:
            return self.mean - other.mean
        return (self.mean - other.mean) + (self.residual - other.residual)

    def or_mean_of(self, other: "Moments") -> "Moments":
        """Replaces the means of empty rows by those of `other`."""
        if is_scalar(self.count):
            return self
        present = column(self.count) > 0
        return dataclasses.replace(
            self,
            mean=ops.where(present, self.mean, other.mean),
            residual=residual_where(present, self.residual, other.residual),
        )

    def only_if(self, condition: Tensor) -> "Moments":
        """Sets mean 0 and variance 1 where the condition is false.

        The gradient of coefficients that `choose` does not select is
        multiplied by 0. It must be finite, because 0 times infinity is NaN.
        """
        return dataclasses.replace(
            self,
            mean=ops.where(condition, self.mean, 0.0),
            variance=ops.where(condition, self.variance, 1.0),
            residual=residual_where(condition, self.residual, 0.0),
        )

    def merge(self, other: "Moments") -> "Moments":
        """The moments of the union of two disjoint sets, entry by entry."""
        count = like(column(self.count), self.mean)
        added = like(column(other.count), self.mean)
        total = count + added
        weight_of_other = added * reciprocal(total, total.dtype)
        ranks = [len(getattr(m.count, "shape", ())) for m in (self, other)]
        count = total if 2 in ranks else total[:, 0]
        return self._mixture(other, count, weight_of_other)

    def blend(self, other: "Moments", weight: Tensor) -> "Moments":
        """Mixes these moments by `weight` with other ones by `1 - weight`.

        `weight` is a number, or a tensor that broadcasts to
        `[rows, channels]`. The mixture of the two distributions has the mean
        `w m + (1 - w) m'` and the variance
        `w v + (1 - w) v' + w (1 - w) (m - m')**2`, which is never negative
        and needs no difference of squares. Empty rows have weight 0. The
        count of the result is 1, so no row of it is empty.
        """
        validation.weight(weight)
        if not isinstance(weight, (int, float)):
            weight = ops.cast(weight, self.mean.dtype)
        count = self.count
        if not isinstance(count, (int, float)) or count == 0:
            present = ops.convert_to_tensor(column(count) > 0)
            weight = weight * ops.cast(present, self.mean.dtype)
        # The mean of an empty row is 0. Its difference from a large mean would
        # be rounded, so the result would lose the residual of that mean.
        return self.or_mean_of(other)._mixture(other, 1.0, 1.0 - weight)

    def across_replicas(
        self, replicas_per_group: int | None = None, constant: bool = False
    ) -> "Moments":
        """Moments merged over the replicas of a `tf.distribute` strategy.

        The merge is weighted by counts, so it is exact for uneven and for
        empty replicas. It takes one all-reduce, and one for its gradient.
        With one replica, the moments stay as they are.

        Args:
            replicas_per_group: how many neighboring replicas are merged.
                `None` merges all replicas.
            constant: whether the result is a constant for differentiation,
                which takes fewer operations.
        """
        if replicas.count() == 1 or replicas_per_group == 1:
            return self
        merged = self._replica_merge().merge(replicas_per_group, constant)
        return Moments(*merged, self.examples)

    def average_over_replicas(
        self, replicas_per_group: int = 1, total: bool = False
    ) -> "Moments":
        """The averages of means and variances over groups of replicas.

        This is the target of the running statistics: the same on every
        replica, and weighted by counts, so that an empty replica changes
        nothing. It is a constant for differentiation.

        With one replica, and where a `MirroredStrategy` cannot exchange
        tensors, as inside `tf.cond`, these moments are returned themselves and
        stay differentiable. Other strategies raise a `RuntimeError` there.

        Args:
            replicas_per_group: how many neighboring replicas are merged first,
                or `None` for all.
            total: whether the variance of the means is added to the average of
                the variances.
        """
        if replicas.count() == 1 or replicas.average_later():
            return self
        averages = self._replica_merge().average(replicas_per_group, total)
        return Moments(*averages, examples=self.examples)

    def _mixture(
        self, other: "Moments", count: Tensor, weight_of_other: Tensor
    ) -> "Moments":
        """The mixture of these moments and `other`, entry by entry."""
        difference = other.minus(self)
        mean = materialized(self.mean + weight_of_other * difference)
        residual = UNTRACKED
        if self.residual is not UNTRACKED:
            residual = (self.mean - mean) + weight_of_other * difference
            residual = ops.stop_gradient(residual + self.residual)
        product = weight_of_other * (1.0 - weight_of_other)
        return Moments(
            count,
            mean,
            self.variance
            + weight_of_other * (other.variance - self.variance)
            + product * ops.square(difference),
            residual,
            self.examples,
        )

    def _replica_merge(self) -> ReplicaMerge:
        """The merges with other replicas, which share one all-reduce."""
        if self._merges is None:
            statistics = self.count, self.mean, self.variance, self.residual
            self._merges = ReplicaMerge(statistics)
        return self._merges
