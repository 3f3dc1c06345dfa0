"""Moments merged over replicas, by one all-reduce."""

from typing import Any

import keras
from keras import ops

from keras_norms.native import differentiation
from keras_norms.statistics import replica_groups
from keras_norms.statistics import replicas
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_scalar
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.arrays import row_counts
from keras_norms.statistics.replica_groups import Statistics
from keras_norms.types import Tensor


class ReplicaMerge:
    """The statistics of one replica, merged with those of others.

    Constant merges and averages reuse the all-reduce of an earlier merge.

    Args:
        statistics: those of this replica.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._sent: dict[int, Tensor] = {}
        self._constants: dict[int, Statistics] = {}

    def merge(
        self, replicas_per_group: int | None, constant: bool
    ) -> Statistics:
        """The statistics of this replica's group.

        Args:
            replicas_per_group: the number of neighboring replicas, or `None`
                for all.
            constant: whether they are constants for differentiation.
        """
        size = replicas.group_size(replicas_per_group, replicas.count())
        if not constant:
            merged, sent = _merge_with_gradient(self._statistics, size)
            self._sent[_summed(size)] = ops.stop_gradient(sent)
        elif size in self._constants:
            merged = self._constants[size]
        else:
            merged = _own_group(
                self._exchange(size), self._statistics[1], size
            )
            self._constants[size] = merged
        return self._with_count_of_rows(merged)

    def average(
        self, replicas_per_group: int | None, total: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Count, mean and variance of `Moments.average_over_replicas`."""
        size = replicas.group_size(replicas_per_group, replicas.count())
        if size == replicas.count():
            return self.merge(replicas_per_group, constant=True)[:3]
        mean = self._statistics[1]
        dtype = keras.backend.standardize_dtype(mean.dtype)
        averages = replica_groups.average(
            self._exchange(size),
            mean.shape[1],
            dtype,
            replicas.count(),
            size,
            total,
        )
        return self._with_count_of_rows(averages)

    def _exchange(self, size: int) -> Tensor:
        """What the replicas send each other for groups of a size."""
        key = _summed(size)
        if key not in self._sent:
            self._sent[key] = _exchange(self._statistics, size)
        return self._sent[key]

    def _with_count_of_rows(self, statistics: Any) -> Any:
        """The statistics with the count as `Moments` has it."""
        count, *others = statistics
        own_count, mean, *_ = self._statistics
        if is_scalar(own_count) and mean.shape[0] == 1:
            count = ops.reshape(count, ())
        else:
            count = row_counts(count)
        return count, *others


def _summed(size: int) -> int:
    """How many neighboring replicas are summed, for groups of a size.

    It is 1 for a table. The averages over single replicas follow from sums
    over all of them.
    """
    total = replicas.count()
    if replica_groups.uses_table(total):
        return 1
    return total if size == 1 else size


def _exchange(statistics: Statistics, size: int) -> Tensor:
    """One all-reduce: `[replicas or groups, rows, 3 channels + 1]`."""
    count, *others = statistics
    row = replica_groups.row(ops.convert_to_tensor(count), *others)
    if replica_groups.uses_table(replicas.count()):
        return replicas.gather(row)
    terms = replica_groups.terms(row, statistics[1].shape[1])
    return replicas.totals_of_groups(terms, _summed(size))


def _merge_with_gradient(
    statistics: Statistics, size: int
) -> tuple[Statistics, Tensor]:
    """The statistics of this replica's group, and what replicas have sent.

    The gradient takes one all-reduce. With W and V the sums of d mean and
    d variance over the replicas of a group, the gradient of a replica's mean
    is `w (W + 2 V (its mean - mean of the group))`, and that of its variance
    is `w V`, where w is its share of the group's count.
    """

    @differentiation.custom_gradient
    def merged(
        count: Tensor, mean: Tensor, variance: Tensor, residual: Tensor
    ) -> Any:
        sent = _exchange((count, mean, variance, residual), size)
        group = _own_group(sent, mean, size)
        group_count, group_mean, _, group_residual = group

        def gradient(
            _: Tensor, d_mean: Tensor, d_variance: Tensor, *__: Tensor
        ) -> tuple[Tensor | None, ...]:
            upstream = ops.concatenate([d_mean, d_variance], axis=1)
            upstream = replicas.total_of_group(upstream, size)
            d_mean, d_variance = ops.split(upstream, 2, axis=1)
            share = like(column(count), mean) * reciprocal(
                group_count, mean.dtype
            )
            difference = (mean - group_mean) + (residual - group_residual)
            d_mean = d_mean + 2.0 * d_variance * difference
            return None, share * d_mean, share * d_variance, None

        return (*group, sent), gradient

    *group, sent = merged(*statistics)
    return tuple(group), sent


def _own_group(sent: Tensor, mean: Tensor, size: int) -> Statistics:
    """The statistics of this replica's group, from what replicas have sent."""
    return replica_groups.group(
        sent,
        mean.shape[1],
        keras.backend.standardize_dtype(mean.dtype),
        replicas.count(),
        size,
        replicas.group_index(size),
    )
