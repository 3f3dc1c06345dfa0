"""Group normalization: its special cases and invariances."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import SIZE
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import random_moments
from tests.support.samples import training_output


def test_one_group_equals_layer_norm():
    x = inputs()
    gamma, beta = random_moments()
    layer = layers.GroupNormalization(1, **EXACT)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    axes = (1, 2, 3)
    xhat = x - x.mean(axes, keepdims=True)
    xhat /= x.std(axes, keepdims=True)
    assert_close(layer(x), gamma * xhat + beta)


def test_one_group_per_channel_equals_instance_norm():
    x = inputs()
    want = layers.InstanceNormalization(**EXACT)(x)
    for groups in (CHANNELS, -1):
        assert_close(layers.GroupNormalization(groups, **EXACT)(x), want)


def test_invariant_to_scale_and_shift_per_example():
    x = inputs()
    each = np.linspace(0.5, 3, BATCH).reshape(-1, 1, 1, 1)
    layer = layers.GroupNormalization(4, **EXACT)
    assert_close(layer(each * x - 2 * each), layer(x))


def test_independent_of_training_and_of_other_examples():
    x = inputs()
    layer = layers.GroupNormalization(4, dtype="float64")
    y = np.array(layer(x, training=False))
    np.testing.assert_array_equal(training_output(layer, x), y)
    alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
    assert_close(alone, y)


def test_mean_and_variance_of_output_groups():
    x = inputs().reshape(BATCH, SIZE, 4, 2)
    epsilon = 0.1
    layer = layers.GroupNormalization(4, epsilon=epsilon, dtype="float64")
    y = np.array(layer(x.reshape(BATCH, SIZE, CHANNELS))).reshape(x.shape)
    variance = x.var((1, 3))
    assert_close(y.mean((1, 3)), 0)
    assert_close(y.var((1, 3)), variance / (variance + epsilon))


def test_equals_keras_with_the_same_epsilon():
    x = inputs()
    arguments = {"groups": 4, "epsilon": 1e-5, "dtype": "float64"}
    want = keras.layers.GroupNormalization(**arguments)(x)
    assert_close(layers.GroupNormalization(**arguments)(x), want)


def test_gamma_0_makes_residual_block_the_identity():
    x = inputs()
    layer = layers.GroupNormalization(4, gamma_initializer="zeros")
    np.testing.assert_array_equal(x + np.array(layer(np.tanh(x))), x)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_no_positions_have_finite_gradients(native):
    layer = layers.GroupNormalization(groups=1, epsilon=0.0)
    layer.build((None, 0, 2))
    with ops.using_native(native), tf.GradientTape() as tape:
        y = layer(tf.zeros((3, 0, 2)))
    np.testing.assert_array_equal(tape.gradient(y, layer.gamma.value), 0)
