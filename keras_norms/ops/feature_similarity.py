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
    examples: int | None = None,
) -> Tensor:
    """The mean cosine between the features of different examples.

    ```
    u[n] = f[n] / max(|f[n]|, 1e-12), f[n] the features of example n
    S = (|sum over n of u[n]|**2 - sum over n of |u[n]|**2) / (N (N - 1))
    ```

    S is the mean of u[n] . u[k] over all pairs of different examples. It takes
    two reads of x and no table of pairs. No gradient flows through it.

    Masking: Masked positions are no features, and examples without features
    are not counted.

    Args:
        {{x}}
        {{x_mask}}
        {{x_axis}}
        pooled: Boolean, whether f[n] holds the mean of each channel over the
            example's positions, and not all values of the example. Defaults to
            `False`.
        synchronized: Boolean, whether the examples are those of all replicas,
            which takes one all-reduce. Defaults to `False`.
        examples: Integer, how many examples at the start of the batch (of the
            joined batch if `synchronized`, with one more all-reduce) are
            compared, or `None` for all. Defaults to `None`.

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
      [arXiv 2311.15993](https://arxiv.org/abs/2311.15993). The authors'
      published code computes this mean over the first 16 examples.
    """
    similarity, count = similarity_and_count(
        x, mask, axis, pooled, synchronized, examples
    )
    valid = ops.logical_and(count > 1, ops.isfinite(similarity))
    return ops.where(valid, similarity, 0.0)


def similarity_and_count(
    x: Tensor,
    mask: Tensor | None,
    axis: int,
    pooled: bool = False,
    synchronized: bool = False,
    examples: int | None = None,
) -> tuple[Tensor, Tensor]:
    """`feature_similarity`, and the number of examples that it compares.

    With fewer than two examples, the similarity is 0. Where squares overflow,
    it is not finite.
    """
    x, mask = validation.inputs(x, mask, axis)
    examples = validation.examples("examples", examples)
    x = ops.stop_gradient(x)
    features, square = _features(x, mask, axis, pooled, examples)
    square = ops.sum(square, axis=1)
    included: Tensor = True
    if examples is not None:
        before: Tensor = 0
        if synchronized:
            before = replicas.total_before(ops.shape(x)[0])
        x = x[:examples]
        mask = None if mask is None else mask[:examples]
        included = before + ops.arange(ops.shape(x)[0]) < examples
    has_features = math.prod(ops.shape(x)[1:]) > 0
    present = ops.logical_and(ops.ones_like(square, "bool"), included)
    present = ops.logical_and(present, has_features)
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
    similarity = ops.where(count > 1, similarity, 0.0)
    similarity = ops.clip(similarity, -1.0, 1.0)
    return ops.stop_gradient(similarity), ops.stop_gradient(count)


def _features(
    x: Tensor,
    mask: Tensor | None,
    axis: int,
    pooled: bool,
    examples: int | None,
) -> tuple[Tensor, Tensor]:
    """The features of each example, and the sums of squares per channel."""
    by_moments = select_backend(x, mask, axis) is not ComposedBackend

    def first(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[:examples]

    # XLA copies a slice for an operation of the library. It computes the
    # moments of all examples only once if a normalization does so, too.
    if not (by_moments and tracing.compiling()):
        x, mask = first(x), first(mask)
    if pooled or by_moments:
        moments = instance_moments(x, mask, axis)
        mean = moments.mean + moments.residual
        square = ops.square(mean)
        if not pooled:
            square = column(moments.count) * (moments.variance + square)
        x, mask = first(x), first(mask)
        if pooled:
            return first(mean), first(square)
    layout = Layout(x, axis)
    features = ops.cast(x, statistics_dtype(x.dtype))
    if mask is not None:
        features = ops.where(layout.mask(mask), features, 0.0)
    if by_moments:
        return features, first(square)
    return features, layout.sum(ops.square(features))


def _weighted_sum(weight: Tensor, features: Tensor) -> Tensor:
    """The weighted sum over examples, a vector."""
    batch, *sizes = ops.shape(features)
    features = ops.reshape(features, (batch, math.prod(sizes)))
    return ops.matmul(weight[None], features)[0]
