"""The mean cosine of the features of pairs of examples."""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.layers.steps import FLOAT64
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import training_output


@pytest.mark.parametrize("pooled", [False, True])
def test_equals_mean_cosine_of_pairs(pooled):
    x = inputs()
    features = x.mean((1, 2)) if pooled else x.reshape(BATCH, -1)
    u = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [u[n] @ u[k] for n in range(BATCH) for k in range(BATCH) if n != k]
    have = ops.feature_similarity(x, pooled=pooled)
    assert_close(have, np.mean(pairs))
    assert_close(ops.feature_similarity(x[::-1], pooled=pooled), have)
    assert_close(ops.feature_similarity(7.5 * x, pooled=pooled), have)


def test_equal_opposite_and_orthogonal_features():
    x = inputs()[:1]
    assert_close(ops.feature_similarity(np.concatenate([x] * 5)), 1)
    assert_close(ops.feature_similarity(np.concatenate([x, -x])), -1)
    assert_close(ops.feature_similarity(np.eye(4)), 0)


def test_standardized_features_are_never_similar():
    """Their mean inner product is -mean |xhat|**2 / (N - 1)."""
    x = np.random.default_rng(0).normal(3, 1, (BATCH, CHANNELS))
    y = training_output(layers.BatchNormalization(**EXACT), x)
    inner = y @ y.T
    mean = inner[~np.eye(BATCH, dtype=bool)].mean()
    assert_close(mean, -np.trace(inner) / BATCH / (BATCH - 1))
    assert ops.feature_similarity(y) < 0 < ops.feature_similarity(x)


def test_few_or_no_examples_are_finite():
    x = inputs()
    assert ops.feature_similarity(x[:1]) == 0
    assert ops.feature_similarity(x[:0]) == 0
    assert ops.feature_similarity(0 * x) == 0
    assert np.isfinite(ops.feature_similarity(x[:, :0]))
    alone = layers.UnifiedBatchNormalization(**FLOAT64)
    assert np.isfinite(training_output(alone, x[:1])).all()


def test_masked_positions_are_excluded():
    x = inputs()
    mask = np.random.default_rng(0).random((BATCH, 5)) < 0.6
    mask[2] = False
    valid = np.delete(x * mask[:, :, None, None], 2, axis=0)
    x[~mask] = np.nan
    assert_close(
        ops.feature_similarity(x, mask), ops.feature_similarity(valid)
    )


def test_no_gradient_flows_through():
    x = tf.constant(inputs())
    with tf.GradientTape() as tape:
        tape.watch(x)
        similarity = ops.feature_similarity(x)
    assert tape.gradient(similarity, x) is None


@pytest.mark.parametrize("pooled", [False, True])
def test_mask_without_effect(pooled):
    x = np.random.default_rng(0).normal(1, 1, (5, 4, 3))
    want = ops.feature_similarity(x, pooled=pooled)
    for mask in (np.ones((5, 4), bool), np.ones((1, 4), bool)):
        have = ops.feature_similarity(x, mask, pooled=pooled)
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_overflow_of_squares_returns_0():
    assert ops.feature_similarity(np.full((3, 4), 1e30, "float32")) == 0


@pytest.mark.parametrize("pooled", [False, True])
def test_first_examples_alone_are_compared(pooled):
    x = inputs()
    mask = np.random.default_rng(0).random((BATCH, 5)) < 0.6
    for examples in (1, 2, BATCH, BATCH + 3):
        for complete, part in ((None, None), (mask, mask[:examples])):
            have = ops.feature_similarity(
                x, complete, pooled=pooled, examples=examples
            )
            want = ops.feature_similarity(x[:examples], part, pooled=pooled)
            assert_close(have, want)
