"""Training steps and weights that the tests of single layers share."""

import numpy as np
import tensorflow as tf

from keras_norms import layers
from tests.support.samples import CHANNELS

FLOAT64 = {"dtype": "float64"}
AXES = (0, 1, 2)


def batch_norm_like(layer):
    return layers.BatchNormalization(
        epsilon=layer.epsilon,
        momentum=layer.momentum,
        dtype=layer.dtype_policy,
    )


def randomized(layer, seed=3, low=0.2, high=0.8):
    layer.build((None, 5, 4, CHANNELS))
    random = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(random.uniform(low, high, variable.shape))
    return layer


def step(layer, x, dy):
    """y, gradients and running statistics of a training step in a graph."""

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        sources = [x, layer.gamma.value, layer.beta.value]
        return y, *tape.gradient(y, sources, tf.constant(dy))

    results = run(tf.constant(x))
    return *results, layer.moving_mean, layer.moving_variance
