"""Fused activations, second derivatives, empty batches and `training`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.descriptors import CHANNELS
from tests.conformance.training_step import build
from tests.conformance.training_step import data
from tests.conformance.training_step import every_layer
from tests.conformance.training_step import every_running_layer


@every_layer
def test_fused_activation(descriptor):
    shape = (4, 3, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1)
    results = []
    for activation in ("silu", None):
        layer = build(
            descriptor,
            shape,
            -1,
            gamma,
            beta,
            dtype="float64",
            activation=activation,
        )
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            y = layer(inputs, **descriptor.training)
            if activation is None:
                y = keras.activations.silu(y)
        sources = [inputs, *(v.value for v in layer.trainable_variables)]
        results.append([y, *tape.gradient(y, sources, tf.constant(dy))])
    for fused, separate in zip(*results, strict=True):
        np.testing.assert_allclose(fused, separate, atol=1e-12)


@every_layer
def test_second_derivative(descriptor):
    """Compares with central differences of the first gradient."""
    shape = (4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1)
    layer = build(descriptor, shape, -1, gamma, beta, dtype="float64")

    @tf.function
    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x, **descriptor.training)
            first = inner.gradient(y, x, dy)
            total = tf.reduce_sum(first**2)
        return total, outer.gradient(total, x)

    direction = np.random.default_rng(3).normal(size=shape)
    step = 1e-5
    above = second(tf.constant(x + step * direction))[0]
    below = second(tf.constant(x - step * direction))[0]
    gradient = second(tf.constant(x))[1].numpy()
    wanted = (above - below) / (2 * step)
    np.testing.assert_allclose(
        (gradient * direction).sum(), wanted, rtol=1e-6, atol=1e-7
    )


@every_running_layer
@pytest.mark.parametrize("shape", [(0, 4, 3, CHANNELS), (2, 0, 3, CHANNELS)])
@pytest.mark.parametrize("eager", [False, True])
def test_empty_batch_keeps_running_statistics(descriptor, shape, eager):
    layer = descriptor.create(momentum=0.5)
    layer.build(shape)
    layer.moving_mean.assign(np.arange(CHANNELS))
    averages = [v for v in layer.non_trainable_variables if v.name != "steps"]
    before = [variable.numpy() for variable in averages]

    def step(x):
        return layer(x, training=True)

    y = (step if eager else tf.function(step))(tf.zeros(shape))
    assert y.shape == shape
    for variable, value in zip(averages, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@every_running_layer
@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable])
def test_training_accepts_a_variable(descriptor, kind):
    layer = descriptor.create(dtype="float64")
    x = data((5, 4, 3, CHANNELS), -1)[0]
    layer.build(x.shape)
    for value in (False, True):
        weights = layer.get_weights()
        want = layer(x, training=value)
        layer.set_weights(weights)
        have = layer(x, training=kind(value, dtype="bool"))
        layer.set_weights(weights)
        np.testing.assert_allclose(have, want, atol=1e-12)
