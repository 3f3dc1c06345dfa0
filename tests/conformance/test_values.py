"""Values, gradients, masks and running statistics of every described layer."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import COMPANIONS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import public_layers
from tests.conformance.training_step import build
from tests.conformance.training_step import check
from tests.conformance.training_step import data
from tests.conformance.training_step import every_layer
from tests.conformance.training_step import every_running_layer
from tests.conformance.training_step import train
from tests.conformance.training_step import weights
from tests.references import formulas

SHAPES = {
    "dense": ((5, CHANNELS), -1),
    "last": ((5, 4, 3, CHANNELS), -1),
    "first": ((5, CHANNELS, 4, 3), 1),
    "middle": ((4, 3, CHANNELS, 5), 2),
    "long": ((2, 130, CHANNELS), -1),
    "one": ((1, 2, 2, CHANNELS), -1),
}


def test_every_public_class_has_a_descriptor():
    normalizations = set(public_layers()).difference(COMPANIONS)
    assert normalizations == {d.name for d in DESCRIPTORS}


@every_layer
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, {"eager": True}) for name in SHAPES),
        *((name, {}) for name in SHAPES),
        # XLA compiles slowly, and the other shapes have the same layouts.
        *((n, {"jit_compile": True}) for n in ("dense", "first", "long")),
    ],
    ids=str,
)
def test_values_and_gradients(descriptor, name, mode):
    shape, axis = SHAPES[name]
    x, dy, gamma, beta = data(shape, axis)
    layer = build(descriptor, shape, axis, gamma, beta, dtype="float64")
    step = train(layer, descriptor.training, **mode)
    results = step(tf.constant(x), tf.constant(dy), None)
    expected = descriptor.expected(x, dy, weights(layer), axis)
    check(results, expected, 1e-12)


@every_layer
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("axis", [-1, 1])
def test_masked_values_and_gradients(descriptor, rank, axis):
    shape = (5, 4, 3, CHANNELS) if axis == -1 else (5, CHANNELS, 4, 3)
    x, dy, gamma, beta = data(shape, axis)
    mask = np.random.default_rng(1).random((5, 4, 3)[:rank]) < 0.6
    mask[0] = False
    layer = build(descriptor, shape, axis, gamma, beta, dtype="float64")
    step = train(layer, descriptor.training)
    results = step(tf.constant(x), tf.constant(dy), tf.constant(mask))
    expected = descriptor.expected(x, dy, weights(layer), axis, mask)
    check(results, expected, 1e-12)


@every_running_layer
@pytest.mark.parametrize("masked", [False, True])
def test_running_statistics(descriptor, masked):
    shape = (5, 4, 3, CHANNELS)
    x, _, gamma, beta = data(shape, -1)
    mask = np.random.default_rng(1).random((5, 4)) < 0.6 if masked else None
    layer = build(
        descriptor, shape, -1, gamma, beta, dtype="float64", momentum=0.9
    )
    layer(x, training=True, mask=mask)
    mean, variance = formulas.running_target(x, weights(layer), -1, mask)
    if layer.running_variance == "total":
        # The variance of the batch means, of which the first is 0.
        variance = variance + 0.9 * mean**2
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, atol=1e-13)
    wanted = 0.9 + 0.1 * variance
    if getattr(layer, "renorm", False):
        stddev = 0.9 * np.ones(CHANNELS) + 0.1 * np.sqrt(variance + 1e-3)
        wanted = stddev**2 - 1e-3
    np.testing.assert_allclose(layer.moving_variance, wanted, atol=1e-12)


@every_running_layer
def test_inference(descriptor):
    shape = (5, 4, 3, CHANNELS)
    x, _, gamma, beta = data(shape, -1)
    layer = build(descriptor, shape, -1, gamma, beta, dtype="float64")
    mean, variance = np.linspace(-1, 1, CHANNELS), np.linspace(1, 3, CHANNELS)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    per_group = CHANNELS // descriptor.groups

    if descriptor.formula is not None:
        wanted = formulas.values(
            descriptor.formula,
            x,
            weights(layer),
            -1,
            descriptor.arguments,
            running=(mean, variance),
        )
        for training in (False, None, tf.constant(False)):
            y = layer(x, training=training)
            np.testing.assert_allclose(y, wanted, atol=1e-12)
        return

    def pooled(first, second):
        """Pools first and second moments over the channels of a group."""
        grouped = (*first.shape[:-1], descriptor.groups, per_group)
        first, second = (
            np.repeat(a.reshape(grouped).mean(-1), per_group, -1)
            for a in (first, second)
        )
        return first, second

    first, second = pooled(mean, variance + mean**2)
    instance_first, instance_second = pooled(
        x.mean((1, 2)), (x**2).mean((1, 2))
    )
    alpha = layer.inference_weight
    first = alpha * instance_first + (1 - alpha) * first
    second = alpha * instance_second + (1 - alpha) * second
    first, second = first[:, None, None], second[:, None, None]
    xhat = (x - first) / np.sqrt(second - first**2 + 1e-3)
    for training in (False, None, tf.constant(False)):
        y = layer(x, training=training)
        np.testing.assert_allclose(y, xhat * gamma + beta, atol=1e-12)
    layer.trainable = False
    y = layer(x, training=True)
    np.testing.assert_allclose(y, xhat * gamma + beta, atol=1e-12)
    np.testing.assert_array_equal(layer.moving_mean, mean)


@every_layer
def test_dynamic_shapes(descriptor):
    x, dy, gamma, beta = data((5, 4, 3, CHANNELS), -1)
    shape = (None, None, None, CHANNELS)
    layer = build(descriptor, shape, -1, gamma, beta, dtype="float64")
    spec = tf.TensorSpec(shape, "float64")
    step = train(layer, descriptor.training, input_signature=[spec, spec])
    for size in (5, 4, 1, 0):
        results = step(tf.constant(x[:size]), tf.constant(dy[:size]))
        if size:
            expected = descriptor.expected(
                x[:size], dy[:size], weights(layer), -1
            )
            check(results, expected, 1e-12)
        assert all(np.isfinite(result).all() for result in results.values())
    if descriptor.running:
        assert np.isfinite(layer.moving_mean).all()
