"""How alike the features of the examples of a batch are."""

import math

from keras import ops

from keras_norms import validation
from keras_norms.engine.composed import ComposedBackend
from keras_norms.engine.layout import Layout
from keras_norms.engine.normalize import select_backend
from keras_norms.native import tracing
from keras_norms.ops.instance_moments import instance_moments
from keras_norms.statistics import replicas
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import statistics_dtype


def feature_similarity(
    x, mask=None, axis=-1, *, pooled=False, synchronized=False
):
    """The mean cosine between the features of different examples.

        u[n] = f[n] / max(|f[n]|, 1e-12), f[n] the features of example n
        S = (|sum over n of u[n]|**2 - sum over n of |u[n]|**2) / (N (N - 1))

    which is the mean of u[n] . u[k] over all pairs of different examples: two
    reads of x, no table of pairs.

    Arguments:
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        mask: booleans over the leading axes of x without its channel axis;
            False positions hold no features, and an example without a True
            one is not counted.
        axis: the channel axis.
        pooled: whether f[n] is the mean of each channel over the example's
            positions, and not all that the example holds.
        synchronized: whether the examples are those of all replicas: one
            all-reduce.

    Returns: a number from -1/(N - 1) to 1, in the dtype of the statistics; 0
        for fewer than two examples, and where squares leave the range of
        floats. Examples of zeros are alike to none. No gradient flows
        through it.

    Raises: ValueError as `normalize` does.

    Example:

    >>> import numpy as np
    >>> from keras_norms.ops import feature_similarity
    >>> x = np.array([[3.0, 4.0], [30.0, 40.0], [4.0, -3.0]])
    >>> print(round(float(feature_similarity(x)), 6))
    0.333333

    Source: the measure of feature condensation of Wang et al., Unified Batch
    Normalization, 2023 (arXiv 2311.15993), in a reading of ours: the paper's
    own formula could not be read.
    """
    x, mask = validation.inputs(x, mask, axis)
    features, square = _features(ops.stop_gradient(x), mask, axis, pooled)
    square = ops.sum(square, axis=1)
    present = ops.ones_like(square, "bool")
    if mask is not None:
        axes = list(range(1, len(mask.shape)))
        kept = ops.any(ops.cast(mask, "bool"), axis=axes)
        present = ops.logical_and(present, kept)
    present = ops.cast(present, features.dtype)
    inverse = present / ops.maximum(ops.sqrt(square), 1e-12)
    total = _weighted_sum(inverse, features)
    sums = [ops.sum(square * ops.square(inverse)), ops.sum(present)]
    table = ops.concatenate([ops.stack(sums), total])
    if synchronized:
        table = replicas.total(table)
    alone, count, total = table[0], table[1], table[2:]
    pairs = ops.maximum(count * (count - 1.0), 1.0)
    similarity = (ops.sum(ops.square(total)) - alone) / pairs
    valid = ops.logical_and(count > 1, ops.isfinite(similarity))
    similarity = ops.where(valid, similarity, 0.0)
    return ops.stop_gradient(ops.clip(similarity, -1.0, 1.0))


def _features(x, mask, axis, pooled):
    """Of each example, with the sum of their squares in each channel."""
    layout = Layout(x, axis)
    by_moments = select_backend(x, mask, axis) is not ComposedBackend
    if pooled or by_moments:
        moments = instance_moments(x, mask, axis)
        mean = moments.mean + moments.residual
    if pooled:
        return mean, ops.square(mean)
    features = ops.cast(x, statistics_dtype(x.dtype))
    if mask is not None:
        features = ops.where(layout.mask(mask), features, 0.0)
    if by_moments:
        square = moments.variance + ops.square(mean)
        return features, column(moments.count) * square
    return features, layout.sum(ops.square(features))


def _weighted_sum(weight, features):
    """Over examples: a vector. Each way is 2 times slower as the other."""
    batch, *sizes = ops.shape(features)
    features = ops.reshape(features, (batch, math.prod(sizes)))
    if tracing.compiling():
        return ops.sum(weight[:, None] * features, axis=0)
    return ops.matmul(weight[None], features)[0]
