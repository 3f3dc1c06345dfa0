"""Faults of Keras's normalizations in rounding, overflow and dtypes.

Each docstring says what keras.layers does, in Keras 3.15.1 on TensorFlow 2.21,
and where users reported it. Our layers must not have the fault.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.references import oracles

RNG = np.random.default_rng(0)


def far_from_zero(layer, jit, mean, **arguments):
    x = RNG.normal(mean, 1, (8, 16, 16, 6)).astype("float32")
    y = tf.function(lambda x: layer(x, **arguments), jit_compile=jit)(x)
    ones = np.ones(6)
    groups = getattr(layer, "groups", 6)
    examples = 1 if "Group" in type(layer).__name__ else None
    wanted = oracles.normalize(x, x, ones, 0 * ones, -1, examples, groups)
    return np.abs(y - wanted.y).max()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_mean_far_from_zero_in_synchronized_batch_norm(jit, mean):
    """Keras's synchronized variance is E[x**2] - E[x]**2, which cancels.

    With a deviation of 1, y is off by 2e-3 at a mean of 1e2, and by 165 at a
    mean of 1e4.
    """
    layer = layers.BatchNormalization(synchronized=True)
    assert far_from_zero(layer, jit, mean, training=True) < 1e-5


def test_overflow_of_squares():
    """Keras squares x itself, which overflows from 1e19 on."""
    x = (1 + RNG.random((64, 6))).astype("float32") * 1e15 + 1e19
    y = layers.BatchNormalization()(x.astype("float32"), training=True)
    ones = np.ones(6)
    wanted = oracles.normalize(x, x, ones, 0 * ones, -1, None, 6)
    np.testing.assert_allclose(y, wanted.y, atol=1e-5)


def test_float32_input_is_cast_to_float16():
    """Keras casts float32 inputs to float16 before the batch norm.

    1e5 becomes infinite, and y and the moving mean with it.
    """
    layer = layers.BatchNormalization(dtype="mixed_float16")
    y = layer(np.full((4, 6), 1e5, "float32"), training=True)
    np.testing.assert_array_equal(y, np.zeros((4, 6)))
    assert np.isfinite(layer.moving_mean).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_moving_statistics_in_16_bits_stall(dtype):
    """With dtype="bfloat16" Keras keeps moving statistics in 16 bits.

    Updates are then smaller than the spacing of the numbers: after 1500 steps
    of N(3, 1), the mean is 2.23 and the variance still 1.0.
    """
    layer = layers.BatchNormalization(dtype=dtype)
    layer.build((None, 6))
    step = tf.function(lambda x: layer(x, training=True))
    for _ in range(1500):
        step(tf.cast(tf.random.normal((64, 6), 3.0), dtype))
    np.testing.assert_allclose(layer.moving_mean, np.full(6, 3.0), atol=0.1)
    np.testing.assert_allclose(layer.moving_variance, np.ones(6), atol=0.1)


def test_nan_in_moving_statistics_is_permanent():
    """In Keras, one empty batch or one NaN makes moving statistics NaN."""
    layer = layers.BatchNormalization(momentum=0.5)
    layer(np.zeros((0, 6), "float32"), training=True)
    x = RNG.normal(3, 2, (8, 6)).astype("float32")
    x[2, 1] = np.nan
    layer(x, training=True)
    moved = layer.moving_mean != 0
    np.testing.assert_array_equal(moved, np.arange(6) != 1)
    assert np.isfinite(layer.moving_variance).all()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_mean_far_from_zero_in_group_norm(jit, mean):
    """Keras computes x * rstd + (beta - mean * rstd), which cancels.

    y is off by 1.7e-3 at a mean of 1e4, and by 2.1e-2 under XLA.
    """
    assert far_from_zero(layers.GroupNormalization(3), jit, mean) < 1e-5


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64", "bool"])
@pytest.mark.parametrize("name", ["GroupNormalization", "BatchNormalization"])
def test_integer_inputs_are_truncated(name, dtype):
    """Keras casts the result of integer inputs back to integers.

    Group norm returns -1, 0 or 1 for int32. keras#23708 reports it of layer
    norm and of root mean square norm.
    """
    x = RNG.integers(0, 2, (4, 3, 6)).astype(dtype)
    arguments = {"groups": 3} if name[0] == "G" else {}
    layer = getattr(layers, name)(**arguments)
    training = {} if arguments else {"training": True}
    y = layer(x, **training)
    assert y.dtype == "float32"
    assert keras.Sequential([keras.Input((3, 6), dtype=dtype), layer])
    np.testing.assert_allclose(
        y, layer(x.astype("float32"), **training), atol=1e-6
    )
