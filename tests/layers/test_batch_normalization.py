"""Batch normalization: gradients, renorm, example weighing at inference."""

import numpy as np
import pytest
import tensorflow as tf

import keras_norms
from keras_norms import layers
from keras_norms import ops
from tests.references import oracles
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import SIZE
from tests.support.samples import assert_close
from tests.support.samples import input_gradient
from tests.support.samples import inputs
from tests.support.samples import random_moments
from tests.support.samples import training_output
from tests.support.samples import with_running_statistics


def test_gradient_is_orthogonal_to_shift_and_scale():
    x, dy = inputs(), inputs(1)
    layer = layers.BatchNormalization(**EXACT)
    dx = input_gradient(layer, x, dy)
    assert_close(dx.sum((0, 1, 2)), 0)
    assert_close((dx * training_output(layer, x)).sum((0, 1, 2)), 0)


def test_gradient_equals_finite_differences():
    x, dy = inputs(), inputs(1)
    layer = layers.BatchNormalization(dtype="float64", momentum=1)
    direction, step = inputs(2), 1e-6
    above, below = (
        (training_output(layer, x + sign * step * direction) * dy).sum()
        for sign in (1, -1)
    )
    want = (above - below) / (2 * step)
    have = (input_gradient(layer, x, dy) * direction).sum()
    np.testing.assert_allclose(have, want, rtol=1e-7)


def test_output_bound_is_reached_by_one_hot_column():
    x = np.zeros((BATCH, 5, 4, 1))
    x[0, 0, 0] = 3
    y = training_output(layers.BatchNormalization(**EXACT), x)
    assert_close(y.max(), np.sqrt(x.size - 1))
    bound = np.sqrt(x.size - 1)
    y = training_output(layers.BatchNormalization(**EXACT), inputs() ** 5)
    assert np.abs(y).max() <= bound


def test_unclipped_renorm_uses_running_statistics():
    x = inputs()
    layer = layers.BatchNormalization(renorm=True, dtype="float64")
    layer.build(x.shape)
    mean, stddev = random_moments()
    layer.renorm_mean.assign(mean)
    layer.renorm_stddev.assign(stddev)
    assert_close(training_output(layer, x), (x - mean) / stddev)


def test_fully_clipped_renorm_equals_batch_norm():
    x = inputs()
    clipping = {"rmax": 1, "rmin": 1, "dmax": 0}
    layer = layers.BatchNormalization(
        renorm=True, renorm_clipping=clipping, dtype="float64"
    )
    plain = layers.BatchNormalization(dtype="float64")
    assert_close(training_output(layer, x), training_output(plain, x))


def test_inference_weight_0_equals_batch_norm():
    x = inputs()
    mean, variance = random_moments()
    layer = layers.BatchNormalization(inference_weight=0.0, **EXACT)
    y = with_running_statistics(layer, mean, variance)(x)
    assert_close(y, (x - mean) / np.sqrt(variance))


def test_inference_weight_1_equals_instance_or_group_norm():
    x = inputs()
    layer = layers.BatchNormalization(inference_weight=1.0, **EXACT)
    want = layers.InstanceNormalization(**EXACT)(x)
    assert_close(with_running_statistics(layer, *random_moments())(x), want)
    layer = layers.BatchGroupNormalization(4, inference_weight=1.0, **EXACT)
    want = layers.GroupNormalization(4, **EXACT)(x)
    assert_close(with_running_statistics(layer, *random_moments())(x), want)


def test_blend_with_moments_of_other_examples_equals_training():
    """A blend of 1/B with the moments of the other B - 1 examples."""
    x = inputs()
    want = training_output(layers.BatchNormalization(**EXACT), x)
    for i in range(BATCH):
        others = np.delete(x, i, axis=0)
        layer = layers.BatchNormalization(
            inference_weight=1 / BATCH, dtype="float64", epsilon=0.0
        )
        axes = (0, 1, 2)
        with_running_statistics(layer, others.mean(axes), others.var(axes))
        assert_close(layer(x[i : i + 1])[0], want[i])


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1 / BATCH])
def test_example_weighing_bounds_inference(alpha):
    x = np.zeros((1, 5, 4, CHANNELS))
    x[0, 0, 0] = 1e4
    layer = layers.BatchNormalization(inference_weight=alpha, **EXACT)
    with_running_statistics(layer, *random_moments())
    bound = np.sqrt(SIZE / alpha - 1)
    assert np.abs(layer(x)).max() <= bound * (1 + 1e-12)
    assert np.abs(layer(x)).max() > 0.9 * bound
    dense = np.full((1, 1, 1, CHANNELS), 1e9)
    bound = np.sqrt((1 - alpha) / alpha)
    np.testing.assert_allclose(np.abs(layer(dense)), bound, rtol=1e-6)


def test_example_weighing_is_independent_of_other_examples():
    x = inputs()
    for layer in (
        layers.BatchNormalization(inference_weight=0.3, **EXACT),
        layers.BatchGroupNormalization(4, inference_weight=0.3, **EXACT),
    ):
        with_running_statistics(layer, *random_moments())
        alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
        assert_close(layer(x), alone)


def test_renorm_reads_running_statistics_before_their_update():
    """Graphs do not order a read and an assignment by themselves."""
    x = tf.constant([[1.0], [5.0]] * 8)
    for _ in range(20):
        layer = keras_norms.layers.BatchNormalization(
            renorm=True, renorm_momentum=0.5
        )
        layer.build((None, 1))
        y = tf.function(lambda x, layer=layer: layer(x, training=True))(x)
        np.testing.assert_allclose(y, x, atol=1e-5)


both_backends = pytest.mark.parametrize("native", ["auto", "never"])
SHAPE = (5, 4, 3, 6)


@both_backends
def test_renorm_with_large_mean_keeps_precision(native):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=SHAPE) + 1e4).astype("float32")
    layer = layers.BatchNormalization(renorm=True)
    layer.build(SHAPE)
    layer.renorm_mean.assign(np.full(SHAPE[-1], 1e4 + 0.25))
    layer.renorm_stddev.assign(np.full(SHAPE[-1], 2.0))
    with ops.using_native(native):
        y = layer(x, training=True)
    wanted = (x.astype("float64") - (1e4 + 0.25)) / 2.0
    np.testing.assert_allclose(y, wanted, atol=2e-6)


def test_gradient_with_deviation_1e13_under_xla():
    x = np.array([[1e13], [-1e13], [3e13]], "float32")
    dy = np.array([[1.0], [2.0], [-1.0]], "float32")
    layer = layers.BatchNormalization()
    layer.build(x.shape)

    @tf.function(jit_compile=True)
    def input_gradient(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x, dy)

    with ops.using_native("never"):
        dx = input_gradient(tf.constant(x), tf.constant(dy))
    one = np.ones(1)
    wanted = oracles.normalize(x, dy, one, 0 * one, -1, None, 1).dx
    np.testing.assert_allclose(dx, wanted, rtol=1e-5)


@both_backends
def test_infinite_input_affects_only_itself_at_inference(native):
    """The result is the same if `training` is a tensor."""
    x = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    x[0, 0, 0, 0] = np.inf
    layer = layers.BatchNormalization()
    with ops.using_native(native):
        have = layer(x, training=tf.constant(False))
        want = layer(x, training=False)
    assert np.isfinite(want).sum() == x.size - 1
    np.testing.assert_allclose(have, want, atol=1e-6)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_blend_without_positions_has_finite_gradient(native):
    """Example weighing of an empty example with epsilon=0."""
    layer = layers.BatchNormalization(epsilon=0.0, inference_weight=1.0)
    layer.build((None, 0, 2))
    x = tf.zeros((3, 0, 2))
    with ops.using_native(native), tf.GradientTape() as tape:
        y = layer(x, training=False)
    np.testing.assert_array_equal(tape.gradient(y, layer.gamma.value), 0)
