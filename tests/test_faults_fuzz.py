"""Faults that `python -m benchmarks.fuzz` found, each absent here."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS
from tests.conformance.descriptors import RUNNING
from tests.conformance.descriptors import RUNNING_IDS
from tests.conformance.descriptors import Descriptor
from tests.references import formulas
from tests.references import oracles

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
@pytest.mark.parametrize(
    ("masked", "native"),
    [("an example", "auto"), ("all", "never"), ("no positions", "never")],
)
def test_nothing_to_normalize_has_finite_gradients_without_epsilon(
    descriptor, masked, native
):
    x = np.random.default_rng(0).normal(size=SHAPE)
    mask = np.ones(SHAPE[:2], bool)
    mask[0 if masked == "an example" else slice(None)] = False
    if masked == "no positions":
        x, mask = x[:, :, :0], None
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


@both_ways
def test_an_example_of_one_position_far_from_the_mean(native):
    """Its variance is 0, and the root's slope there is large."""
    descriptor = Descriptor(
        "DynamicNormalization", {"epsilon": 1e-6}, formula=formulas.dynamic
    )
    x = np.random.default_rng(0).normal(size=(9, CHANNELS)).astype("float32")
    x[4] += 100.0
    named, dy, weights = results(descriptor, x, None, native)
    with mock.patch.object(formulas, "EPSILON", 1e-6):
        expected = descriptor.expected(x, dy, weights, -1)
    error = np.abs(named["dx"] - expected["dx"]).max()
    assert error < 1e-5 * np.abs(expected["dx"]).max()


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
@pytest.mark.parametrize("descriptor", RUNNING, ids=RUNNING_IDS)
def test_the_branch_that_is_not_taken_does_not_poison_gradients(
    descriptor, native
):
    """With a `training` tensor both are differentiated, and one is zero."""
    x = np.random.default_rng(0).normal(size=(4, 3, 6)).astype("float32")
    x[0, 0, 0] = np.inf
    layer = descriptor.create()
    layer.build(x.shape)

    def gradients(training):
        given = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(given)
            y = layer(given, training=training)
        # Of what a value that is not finite reaches, nothing is promised.
        dy = tf.where(tf.math.is_finite(y), 1.0, 0.0)
        weights = [v.value for v in layer.trainable_variables]
        return tape.gradient(y, [given, *weights], dy)

    with ops.using_native(native):
        wanted, have = gradients(False), gradients(tf.constant(False))
    finite = np.isfinite(x)
    for a, b in zip(wanted, have, strict=True):
        same = np.isfinite(a) & (finite if a.shape == x.shape else True)
        pair = np.array(b)[same], np.array(a)[same]
        np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_no_positions_blend_to_the_running_statistics(native):
    """Example weighing of nothing, with an epsilon of 0."""
    layer = layers.BatchNormalization(epsilon=0.0, inference_weight=1.0)
    layer.build((None, 0, 2))
    x = tf.zeros((3, 0, 2))
    with ops.using_native(native), tf.GradientTape() as tape:
        y = layer(x, training=False)
    np.testing.assert_array_equal(tape.gradient(y, layer.gamma.value), 0)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_group_norm_of_no_positions_has_finite_gradients(native):
    layer = layers.GroupNormalization(groups=1, epsilon=0.0)
    layer.build((None, 0, 2))
    with ops.using_native(native), tf.GradientTape() as tape:
        y = layer(tf.zeros((3, 0, 2)))
    np.testing.assert_array_equal(tape.gradient(y, layer.gamma.value), 0)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_masked_examples_keep_the_digits_of_running_means(native):
    """Where an example has nothing of its own to weigh in."""
    x = np.random.default_rng(0).normal(1e4, 1, (3, 4, 6)).astype("float32")
    mask = np.zeros((3, 4), bool)
    ys = []
    for weight in (0.0, 0.7):
        layer = layers.BatchGroupNormalization(
            groups=2, inference_weight=weight
        )
        layer.build(x.shape)
        layer.moving_mean.assign(1e4 + np.arange(6) / 7)
        with ops.using_native(native):
            ys.append(layer(x, mask=mask, training=False))
    np.testing.assert_allclose(*ys, atol=1e-5)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_dynamic_norm_of_the_batch_s_statistics_keeps_digits(native):
    """A batch of one position: its variance has no gradient."""
    x = np.random.default_rng(0).normal(0, 1e3, (1, 6)).astype("float32")
    gradients = []
    for dtype in ("float64", "float32"):
        layer = layers.DynamicNormalization(
            scope="batch",
            inference_statistics="batch",
            hidden_initializer=keras.initializers.Constant(1e-3),
            output_initializer=keras.initializers.Constant(1e-3),
            hidden_activation="tanh",
            epsilon=1e-5,
            dtype=dtype,
        )
        layer.build(x.shape)
        layer.moving_variance.assign(np.full(6, 1e6))
        given = tf.constant(x.astype(dtype))
        with ops.using_native(native), tf.GradientTape() as tape:
            tape.watch(given)
            y = layer(given, training=False)
        gradients.append(tape.gradient(y, given).numpy())
    scale = np.abs(gradients[0]).max()
    np.testing.assert_allclose(
        gradients[1] / scale, gradients[0] / scale, atol=1e-5
    )
