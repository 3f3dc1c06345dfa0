"""The similarity of the features of the examples of a batch."""

import math

from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.composed import ComposedBackend
from keras_norms.engine.layout import Layout
from keras_norms.engine.normalize import select_backend
from keras_norms.native import tracing
from keras_norms.ops.instance_moments import instance_moments
from keras_norms.statistics import replicas
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Tensor


@insert_blocks
def feature_similarity(
    x: Tensor,
    mask: Tensor | None = None,
    axis: int = -1,
    *,
    pooled: bool = False,
    synchronized: bool = False,
) -> Tensor:
    """The mean cosine between the features of different examples.

    ```
    u[n] = f[n] / max(|f[n]|, 1e-12), f[n] the features of example n
    S = (|sum over n of u[n]|**2 - sum over n of |u[n]|**2) / (N (N - 1))
    ```

    S is the mean of u[n] . u[k] over all pairs of different examples. It takes
    two reads of x and no table of pairs. No gradient flows through it.

    Masking: Masked positions are no features, and examples without an unmasked
    position are not counted.

    Args:
        {{x}}
        {{x_mask}}
        {{x_axis}}
        pooled: Boolean, whether f[n] holds the mean of each channel over the
            example's positions, and not all values of the example. Defaults to
            `False`.
        synchronized: Boolean, whether the examples are those of all replicas,
            which takes one all-reduce. Defaults to `False`.

    Returns:
        Scalar from -1/(N - 1) to 1, in the dtype of the statistics. It is 0
        for fewer than two examples, and where squares overflow. An example
        of zeros has cosine 0 with every other example.

    Raises:
        {{x_errors}}

    Example:

    >>> import numpy as np
    >>> from keras_norms.ops import feature_similarity
    >>> x = np.array([[3.0, 4.0], [30.0, 40.0], [4.0, -3.0]])
    >>> print(round(float(feature_similarity(x)), 6))
    0.333333

    Reference:

    - Wang et al., Unified Batch Normalization, 2023,
      [arXiv 2311.15993](https://arxiv.org/abs/2311.15993), abstract. This is
      our reading of its measure of feature condensation, because the formula
      of the paper could not be read.
    """
    x, mask = validation.inputs(x, mask, axis)
    features, square = _features(ops.stop_gradient(x), mask, axis, pooled)
    square = ops.sum(square, axis=1)
    present = ops.ones_like(square, "bool")
    if mask is not None:
        axes = list(range(1, len(mask.shape)))
        unmasked = ops.any(ops.cast(mask, "bool"), axis=axes)
        present = ops.logical_and(present, unmasked)
    present = ops.cast(present, features.dtype)
    inverse_norm = present / ops.maximum(ops.sqrt(square), 1e-12)
    total = _weighted_sum(inverse_norm, features)
    squares = ops.sum(square * ops.square(inverse_norm))
    scalars = ops.stack([squares, ops.sum(present)])
    sums = ops.concatenate([scalars, total])
    if synchronized:
        sums = replicas.total(sums)
    squares, count, total = sums[0], sums[1], sums[2:]
    pairs = ops.maximum(count * (count - 1.0), 1.0)
    similarity = (ops.sum(ops.square(total)) - squares) / pairs
    valid = ops.logical_and(count > 1, ops.isfinite(similarity))
    similarity = ops.where(valid, similarity, 0.0)
    return ops.stop_gradient(ops.clip(similarity, -1.0, 1.0))


def _features(
    x: Tensor, mask: Tensor | None, axis: int, pooled: bool
) -> tuple[Tensor, Tensor]:
    """The features of each example, and the sums of squares per channel."""
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


def _weighted_sum(weight: Tensor, features: Tensor) -> Tensor:
    """The weighted sum over examples, a vector.

    Compiled, the product is twice as slow as the sum. Otherwise, the sum is
    twice as slow as the product.
    """
    batch, *sizes = ops.shape(features)
    features = ops.reshape(features, (batch, math.prod(sizes)))
    if tracing.compiling():
        return ops.sum(weight[:, None] * features, axis=0)
    return ops.matmul(weight[None], features)[0]
