"""Inputs that once cost a layer digits or gave NaN; fuzzing found most."""

from unittest import mock

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
from tests.conformance.descriptors import public_layers
from tests.references import formulas

every_layer = pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
both_backends = pytest.mark.parametrize("native", ["auto", "never"])
SHAPE = (5, 4, 3, CHANNELS)


def results(descriptor, x, mask, native, **more):
    """y and all gradients by name, for random upstream gradients."""
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
    [
        ("an example", "auto"),
        ("all", "auto"),
        ("all", "never"),
        ("no positions", "never"),
    ],
)
def test_empty_rows_have_finite_gradients_without_epsilon(
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
@both_backends
def test_masked_examples_with_large_mean_keep_precision(descriptor, native):
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


@both_backends
def test_single_position_far_from_the_mean(native):
    """Its variance is 0, where the slope of the root is large."""
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


@pytest.mark.parametrize("native", ["auto", "never"])
@pytest.mark.parametrize("descriptor", RUNNING, ids=RUNNING_IDS)
def test_unused_branch_adds_no_nan_to_gradients(descriptor, native):
    """With a `training` tensor both branches are differentiated."""
    x = np.random.default_rng(0).normal(size=(4, 3, 6)).astype("float32")
    x[0, 0, 0] = np.inf
    layer = descriptor.create()
    layer.build(x.shape)

    def gradients(training):
        inputs = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs, training=training)
        # Results that a non-finite value reaches are not specified.
        dy = tf.where(tf.math.is_finite(y), 1.0, 0.0)
        weights = [v.value for v in layer.trainable_variables]
        return tape.gradient(y, [inputs, *weights], dy)

    with ops.using_native(native):
        wanted, have = gradients(False), gradients(tf.constant(False))
    finite = np.isfinite(x)
    for a, b in zip(wanted, have, strict=True):
        same = np.isfinite(a) & (finite if a.shape == x.shape else True)
        pair = np.array(b)[same], np.array(a)[same]
        np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in public_layers()
        if issubclass(getattr(layers, name), layers.BaseBatchNormalization)
        and name != "BaseBatchNormalization"
    ],
)
def test_training_on_fully_masked_batch_returns_zeros(name):
    arguments = {"groups": 1} if "Group" in name else {}
    if "Unified" in name:
        # A depthwise convolution adds its bias to all positions.
        arguments = {"affine": "channel"}
    layer = getattr(layers, name)(beta_initializer="ones", **arguments)
    x = np.ones((2, 3, 4), "float32")
    with tf.GradientTape() as tape:
        y = layer(x, training=True, mask=np.zeros((2, 3), bool))
    np.testing.assert_array_equal(y, 0 * x)
    weights = [weight.value for weight in layer.trainable_variables]
    gradients = tape.gradient(y, weights, unconnected_gradients="zero")
    for weight, gradient in zip(weights, gradients, strict=True):
        np.testing.assert_array_equal(gradient, 0 * weight)
