"""Moments of sets of examples that are not consecutive."""

from keras import ops

from keras_norms.statistics.arrays import UNTRACKED
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.arrays import row_counts
from keras_norms.statistics.merge import merge_moments
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


def moments_of_sets(moments: Moments, members: Tensor) -> Moments:
    """The moments of sets of rows: `[sets, channels]`.

    Args:
        moments: `Moments` of rows.
        members: a boolean tensor `[sets, rows]`. A set may be empty.

    Returns: `Moments`, each row of which is that of a set.
    """
    members = members[:, :, None]
    # Where a row is not finite, only the sets that have it must not be.
    count, mean, variance, residual = (
        ops.where(members, like(each, moments.mean)[None], 0.0)
        for each in (
            column(moments.count),
            moments.mean,
            moments.variance,
            moments.residual,
        )
    )
    total = ops.sum(count, axis=1, keepdims=True)
    weight = count * reciprocal(total, total.dtype)
    if moments.residual is UNTRACKED:
        residual = UNTRACKED
    merged = merge_moments(weight, mean, variance, residual, axes=(1,))
    mean, variance = (ops.squeeze(each, axis=1) for each in merged[:2])
    if residual is not UNTRACKED:
        residual = ops.squeeze(merged[2], axis=1)
    total = ops.squeeze(total, axis=1)
    if len(getattr(moments.count, "shape", ())) < 2:
        total = row_counts(total[:, :1])
    return Moments(total, mean, variance, residual, examples=None)


def rows_of_sets(tensor: Tensor, members: Tensor) -> Tensor:
    """For each row, the values of its set: `[rows, channels]`.

    The gradient is dense, unlike that of a gather.

    Args:
        tensor: `[sets, channels]`.
        members: a boolean tensor `[sets, rows]`.
    """
    chosen = ops.where(members[:, :, None], tensor[:, None], 0.0)
    return ops.sum(chosen, axis=0)
