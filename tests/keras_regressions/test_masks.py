"""Faults of Keras's normalizations with masks.

Each docstring says what keras.layers does, in Keras 3.15.1 on TensorFlow 2.21,
and where users reported it. Our layers must not have the fault.
"""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.references import oracles

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 4, 3)])
def test_mask_with_channels_first(shape):
    """Keras raises an error for a mask unless the channel axis is the last."""
    x = RNG.normal(size=shape)
    mask = RNG.random((shape[0], *shape[2:])) < 0.5
    layer = layers.BatchNormalization(axis=1, momentum=0.0, dtype="float64")
    layer(x, training=True, mask=mask)
    mean, _ = oracles.moments(x, 1, mask)
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-12)


def test_mask_of_batch_and_time_for_images():
    """Keras refuses a mask over two axes for inputs of rank 4. keras#19818."""
    x, mask = RNG.normal(size=(5, 4, 3, 6)), RNG.random((5, 4)) < 0.5
    layer = layers.BatchNormalization(momentum=0.0, dtype="float64")
    layer(x, training=True, mask=mask)
    mean, _ = oracles.moments(x, -1, mask)
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-12)


def test_fully_masked_batch():
    """For a fully masked batch, Keras normalizes with mean 0 and variance 0.

    The output is x / sqrt(epsilon), and the moving statistics approach 0.
    """
    layer = layers.BatchNormalization(momentum=0.5, beta_initializer="ones")
    y = layer(RNG.normal(size=(4, 6)), training=True, mask=np.zeros(4, bool))
    np.testing.assert_array_equal(y, np.zeros((4, 6)))
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(6))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(6))


def test_single_unmasked_example():
    """Keras divides by the count plus 1e-7: one row of 1e4 gives 0.031."""
    layer = layers.BatchNormalization()
    x = np.full((4, 6), 1e4, "float32")
    y = layer(x, training=True, mask=np.array([True, False, False, False]))
    np.testing.assert_array_equal(y[0], np.zeros(6))


@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize(
    "name", ["BatchNormalization", "InstanceNormalization"]
)
def test_padding_that_is_not_finite(name, padding):
    """NaN in padding gives NaN gradients at valid positions in Keras."""
    x = RNG.normal(size=(4, 5, 6)).astype("float32")
    mask = np.arange(5) < np.array([[5], [3], [1], [0]])
    padded = np.where(mask[..., None], x, padding).astype("float32")
    layer = getattr(layers, name)(activation="silu")
    results = []
    for inputs in (x, padded):
        with tf.GradientTape() as tape:
            inputs = tf.constant(inputs)
            tape.watch(inputs)
            training = {"training": True} if name[0] == "B" else {}
            y = layer(inputs, mask=mask, **training)
            loss = tf.reduce_sum(tf.where(mask[..., None], y, 0.0) ** 2)
        results.append(tape.gradient(loss, [inputs, layer.gamma.value]))
    for clean, dirty in zip(*results, strict=True):
        np.testing.assert_allclose(clean, dirty, atol=1e-5)


def test_padding_enters_group_statistics():
    """Keras's group norm passes the mask on and ignores it.

    Four padded rows of zeros change valid outputs by up to 0.84.
    """
    x = RNG.normal(size=(3, 5, 6)).astype("float32")
    padded = np.concatenate([x, np.zeros((3, 4, 6), "float32")], axis=1)
    mask = np.broadcast_to(np.arange(9) < 5, (3, 9))
    layer = layers.GroupNormalization(groups=2)
    np.testing.assert_allclose(
        layer(padded, mask=mask)[:, :5], layer(x), atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize(
    "name", ["BatchNormalization", "InstanceNormalization"]
)
def test_masks_of_numbers_have_no_gradient(name, dtype):
    """Keras casts a mask. Ours did so after a gradient was made for it."""
    x = tf.constant(np.random.default_rng(0).normal(size=(4, 3, 6)))
    mask = tf.constant([[1, 1, 0]] * 4)
    layer = getattr(layers, name)(dtype="float64")
    gradients = []
    for each in (tf.cast(mask, dtype), tf.cast(mask, "bool")):
        with tf.GradientTape() as tape:
            tape.watch(x)
            arguments = {"training": True} if name[0] == "B" else {}
            y = layer(x, mask=each, **arguments)
        gradients.append(tape.gradient(y, x, y))
    np.testing.assert_array_equal(*gradients)
