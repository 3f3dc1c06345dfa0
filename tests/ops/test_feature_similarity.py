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
from tests.support.samples import close
from tests.support.samples import inputs
from tests.support.samples import trained

ALWAYS = {"condensation_threshold": -1.0, "warmup_steps": 0}


@pytest.mark.parametrize("pooled", [False, True])
def test_similarity_is_the_mean_cosine_of_pairs(pooled):
    x = inputs()
    features = x.mean((1, 2)) if pooled else x.reshape(BATCH, -1)
    u = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [u[n] @ u[k] for n in range(BATCH) for k in range(BATCH) if n != k]
    have = ops.feature_similarity(x, pooled=pooled)
    close(have, np.mean(pairs))
    close(ops.feature_similarity(x[::-1], pooled=pooled), have)
    close(ops.feature_similarity(7.5 * x, pooled=pooled), have)


def test_similarity_of_equal_opposite_and_orthogonal_features():
    x = inputs()[:1]
    close(ops.feature_similarity(np.concatenate([x] * 5)), 1)
    close(ops.feature_similarity(np.concatenate([x, -x])), -1)
    close(ops.feature_similarity(np.eye(4)), 0)


def test_similarity_of_standardized_features_is_never_above_0():
    """Their mean inner product is -mean |xhat|**2 / (N - 1)."""
    x = np.random.default_rng(0).normal(3, 1, (BATCH, CHANNELS))
    y = trained(layers.BatchNormalization(**EXACT), x)
    inner = y @ y.T
    mean = inner[~np.eye(BATCH, dtype=bool)].mean()
    close(mean, -np.trace(inner) / BATCH / (BATCH - 1))
    assert ops.feature_similarity(y) < 0 < ops.feature_similarity(x)


def test_similarity_of_few_or_of_nothing_is_finite():
    x = inputs()
    assert ops.feature_similarity(x[:1]) == 0
    assert ops.feature_similarity(x[:0]) == 0
    assert ops.feature_similarity(0 * x) == 0
    assert np.isfinite(ops.feature_similarity(x[:, :0]))
    alone = layers.UnifiedBatchNormalization(**{**ALWAYS, **FLOAT64})
    assert np.isfinite(trained(alone, x[:1])).all()


def test_similarity_leaves_out_what_is_masked():
    x = inputs()
    mask = np.random.default_rng(0).random((BATCH, 5)) < 0.6
    mask[2] = False
    kept = np.delete(x * mask[:, :, None, None], 2, axis=0)
    x[~mask] = np.nan
    close(ops.feature_similarity(x, mask), ops.feature_similarity(kept))


def test_no_gradient_flows_through_similarity():
    x = tf.constant(inputs())
    with tf.GradientTape() as tape:
        tape.watch(x)
        similarity = ops.feature_similarity(x)
    assert tape.gradient(similarity, x) is None


@pytest.mark.parametrize("pooled", [False, True])
def test_one_mask_for_all_examples_leaves_all_of_them(pooled):
    x = np.random.default_rng(0).normal(1, 1, (5, 4, 3))
    want = ops.feature_similarity(x, pooled=pooled)
    for mask in (np.ones((5, 4), bool), np.ones((1, 4), bool)):
        have = ops.feature_similarity(x, mask, pooled=pooled)
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_similarity_beyond_the_range_of_squares_is_0():
    assert ops.feature_similarity(np.full((3, 4), 1e30, "float32")) == 0
