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
from tests.support.samples import close
from tests.support.samples import gradient
from tests.support.samples import inputs
from tests.support.samples import running
from tests.support.samples import trained
from tests.support.samples import with_averages


def test_batch_norm_passes_no_gradient_along_a_shift_or_a_scale():
    x, dy = inputs(), inputs(1)
    layer = layers.BatchNormalization(**EXACT)
    dx = gradient(layer, x, dy)
    close(dx.sum((0, 1, 2)), 0)
    close((dx * trained(layer, x)).sum((0, 1, 2)), 0)


def test_batch_norm_gradient_is_that_of_finite_differences():
    x, dy = inputs(), inputs(1)
    layer = layers.BatchNormalization(dtype="float64", momentum=1)
    direction, step = inputs(2), 1e-6
    above, below = (
        (trained(layer, x + sign * step * direction) * dy).sum()
        for sign in (1, -1)
    )
    want = (above - below) / (2 * step)
    have = (gradient(layer, x, dy) * direction).sum()
    np.testing.assert_allclose(have, want, rtol=1e-7)


def test_batch_norm_is_bounded_by_a_one_hot_column():
    x = np.zeros((BATCH, 5, 4, 1))
    x[0, 0, 0] = 3
    y = trained(layers.BatchNormalization(**EXACT), x)
    close(y.max(), np.sqrt(x.size - 1))
    bound = np.sqrt(x.size - 1)
    y = trained(layers.BatchNormalization(**EXACT), inputs() ** 5)
    assert np.abs(y).max() <= bound


def test_renorm_unclipped_normalizes_by_its_averages():
    x = inputs()
    layer = layers.BatchNormalization(renorm=True, dtype="float64")
    layer.build(x.shape)
    mean, stddev = running()
    layer.renorm_mean.assign(mean)
    layer.renorm_stddev.assign(stddev)
    close(trained(layer, x), (x - mean) / stddev)


def test_renorm_clipped_to_nothing_is_batch_norm():
    x = inputs()
    clipping = {"rmax": 1, "rmin": 1, "dmax": 0}
    layer = layers.BatchNormalization(
        renorm=True, renorm_clipping=clipping, dtype="float64"
    )
    plain = layers.BatchNormalization(dtype="float64")
    close(trained(layer, x), trained(plain, x))


def test_weight_0_is_batch_norm_at_inference():
    x = inputs()
    mean, variance = running()
    layer = layers.BatchNormalization(inference_weight=0.0, **EXACT)
    y = with_averages(layer, mean, variance)(x)
    close(y, (x - mean) / np.sqrt(variance))


def test_weight_1_is_instance_norm_and_group_norm_if_grouped():
    x = inputs()
    layer = layers.BatchNormalization(inference_weight=1.0, **EXACT)
    want = layers.InstanceNormalization(**EXACT)(x)
    close(with_averages(layer, *running())(x), want)
    layer = layers.BatchGroupNormalization(4, inference_weight=1.0, **EXACT)
    want = layers.GroupNormalization(4, **EXACT)(x)
    close(with_averages(layer, *running())(x), want)


def test_one_of_a_batch_with_the_moments_of_the_others_trains():
    """alpha = 1/B with moments of the other B - 1 is training's output."""
    x = inputs()
    want = trained(layers.BatchNormalization(**EXACT), x)
    for i in range(BATCH):
        others = np.delete(x, i, axis=0)
        layer = layers.BatchNormalization(
            inference_weight=1 / BATCH, dtype="float64", epsilon=0.0
        )
        axes = (0, 1, 2)
        with_averages(layer, others.mean(axes), others.var(axes))
        close(layer(x[i : i + 1])[0], want[i])


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1 / BATCH])
def test_weighing_bounds_what_inference_gives(alpha):
    x = np.zeros((1, 5, 4, CHANNELS))
    x[0, 0, 0] = 1e4
    layer = layers.BatchNormalization(inference_weight=alpha, **EXACT)
    with_averages(layer, *running())
    bound = np.sqrt(SIZE / alpha - 1)
    assert np.abs(layer(x)).max() <= bound * (1 + 1e-12)
    assert np.abs(layer(x)).max() > 0.9 * bound
    dense = np.full((1, 1, 1, CHANNELS), 1e9)
    bound = np.sqrt((1 - alpha) / alpha)
    np.testing.assert_allclose(np.abs(layer(dense)), bound, rtol=1e-6)


def test_weighed_inference_does_not_see_the_other_examples():
    x = inputs()
    for layer in (
        layers.BatchNormalization(inference_weight=0.3, **EXACT),
        layers.BatchGroupNormalization(4, inference_weight=0.3, **EXACT),
    ):
        with_averages(layer, *running())
        alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
        close(layer(x), alone)


def test_renorm_reads_its_averages_before_it_moves_them():
    """Graphs keep no order between a read and an assignment by themselves."""
    x = tf.constant([[1.0], [5.0]] * 8)
    for _ in range(20):
        layer = keras_norms.layers.BatchNormalization(
            renorm=True, renorm_momentum=0.5
        )
        layer.build((None, 1))
        y = tf.function(lambda x, layer=layer: layer(x, training=True))(x)
        np.testing.assert_allclose(y, x, atol=1e-5)


both_ways = pytest.mark.parametrize("native", ["auto", "never"])
SHAPE = (5, 4, 3, 6)


@both_ways
def test_renorm_of_a_large_mean_keeps_its_digits(native):
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


def test_a_deviation_of_1e13_has_a_gradient_under_xla():
    x = np.array([[1e13], [-1e13], [3e13]], "float32")
    dy = np.array([[1.0], [2.0], [-1.0]], "float32")
    layer = layers.BatchNormalization()
    layer.build(x.shape)

    @tf.function(jit_compile=True)
    def gradient(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x, dy)

    with ops.using_native("never"):
        dx = gradient(tf.constant(x), tf.constant(dy))
    one = np.ones(1)
    wanted = oracles.normalize(x, dy, one, 0 * one, -1, None, 1).dx
    np.testing.assert_allclose(dx, wanted, rtol=1e-5)


@both_ways
def test_infinite_inputs_stay_where_they_are_at_inference(native):
    """Whether `training` is a tensor or not."""
    x = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    x[0, 0, 0, 0] = np.inf
    layer = layers.BatchNormalization()
    with ops.using_native(native):
        have = layer(x, training=tf.constant(False))
        want = layer(x, training=False)
    assert np.isfinite(want).sum() == x.size - 1
    np.testing.assert_allclose(have, want, atol=1e-6)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_no_positions_blend_to_the_running_statistics(native):
    """Example weighing of nothing, with an epsilon of 0."""
    layer = layers.BatchNormalization(epsilon=0.0, inference_weight=1.0)
    layer.build((None, 0, 2))
    x = tf.zeros((3, 0, 2))
    with ops.using_native(native), tf.GradientTape() as tape:
        y = layer(x, training=False)
    np.testing.assert_array_equal(tape.gradient(y, layer.gamma.value), 0)
