"""Inputs of the identities, and the calls that they share."""

import numpy as np
import tensorflow as tf

BATCH, SIZE, CHANNELS = 6, 20, 8
EXACT = {"epsilon": 0.0, "dtype": "float64"}


def inputs(seed=0, shape=(BATCH, 5, 4, CHANNELS)):
    """Examples and channels with different means and deviations."""
    random = np.random.default_rng(seed)
    deviation = random.uniform(0.5, 2, (shape[0], 1, 1, shape[-1]))
    mean = random.normal(0, 2, (shape[0], 1, 1, shape[-1]))
    return random.normal(size=shape) * deviation + mean


def training_output(layer, x):
    return np.array(layer(x, training=True))


def assert_close(have, want):
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-12)


def with_running_statistics(layer, mean, variance):
    if not layer.built:
        layer.build((None, None, None, len(mean)))
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    return layer


def random_moments(seed=7):
    random = np.random.default_rng(seed)
    return random.normal(size=CHANNELS), random.uniform(0.5, 2, CHANNELS)


def input_gradient(layer, x, dy):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    return tape.gradient(y, x, tf.constant(dy)).numpy()
