"""Faults that `python -m benchmarks.fuzz` found, each absent here."""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.descriptors import CHANNELS
from tests.descriptors import DESCRIPTORS
from tests.descriptors import IDS

every_layer = pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
both_ways = pytest.mark.parametrize("native", ["auto", "never"])
SHAPE = (5, 4, 3, CHANNELS)


def results(descriptor, x, mask, native, **more):
    """y and all gradients by name, of random upstream gradients."""
    rng = np.random.default_rng(1)
    layer = descriptor.create(**more)
    layer.build(x.shape)
    for variable in layer.trainable_variables:
        variable.assign(rng.uniform(0.2, 0.8, variable.shape))
    x = tf.constant(x)
    dy = tf.constant(rng.normal(size=x.shape), layer.compute_dtype)
    with ops.using_native(native), tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, mask=mask, **descriptor.training)
    sources = [x, *(v.value for v in layer.trainable_variables)]
    gradients = tape.gradient(y, sources, dy)
    names = ["y", "dx", *(v.name for v in layer.trainable_variables)]
    weights = {v.name: v.numpy() for v in layer.trainable_variables}
    named = dict(zip(names, [y, *gradients], strict=True))
    return named, dy.numpy(), weights


@every_layer
@both_ways
@pytest.mark.parametrize("masked", ["an example", "all", "no positions"])
def test_nothing_to_normalize_has_finite_gradients_without_epsilon(
    descriptor, native, masked
):
    x = np.random.default_rng(0).normal(size=SHAPE)
    mask = np.ones(SHAPE[:2], bool)
    mask[0 if masked == "an example" else slice(None)] = False
    if masked == "no positions":
        x, mask = x[:, :, :0], None
        if not descriptor.running:
            # The kernel of group norm as a whole has none.
            native = "never"
    named, _, _ = results(descriptor, x, mask, native, epsilon=0.0)
    for name, value in named.items():
        assert np.isfinite(value).all(), name


@every_layer
@both_ways
def test_masked_examples_of_a_large_mean_keep_their_digits(descriptor, native):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=SHAPE) + 1e4).astype("float32")
    mask = np.ones(SHAPE[:1], bool)
    mask[[0, 3]] = False
    named, dy, weights = results(descriptor, x, mask, native)
    expected = descriptor.expected(x, dy, weights, -1, mask)
    for name, want in expected.items():
        scale = max(1.0, np.abs(want).max())
        error = np.abs(named[name] - want).max() / scale
        assert error < 1e-5, name


@both_ways
def test_renorm_of_a_large_mean_keeps_its_digits(native):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=SHAPE) + 1e4).astype("float32")
    layer = layers.BatchNormalization(renorm=True)
    layer.build(SHAPE)
    layer.renorm_mean.assign(np.full(CHANNELS, 1e4 + 0.25))
    layer.renorm_stddev.assign(np.full(CHANNELS, 2.0))
    with ops.using_native(native):
        y = layer(x, training=True)
    wanted = (x.astype("float64") - (1e4 + 0.25)) / 2.0
    np.testing.assert_allclose(y, wanted, atol=2e-6)
