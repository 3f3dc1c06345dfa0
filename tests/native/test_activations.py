"""The activations of the library equal Keras's, and so do their gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import cache
from keras_norms.native import loader
from keras_norms.native import ops as native_ops
from tests.support.native_library import X
from tests.support.native_library import both_ways
from tests.support.native_library import built
from tf_ops.contract import definitions

# TensorFlow's have constants in float32, whatever the dtype.
FLOAT32_CONSTANTS = ("gelu", "leaky_relu", ops.gelu_tanh)


@keras.saving.register_keras_serializable(package="tests")
def scaled(x):
    return keras.ops.tanh(2.0 * x)


# Those of the library, as Keras names them, and one that it does not have.
NAMES = {"identity": "linear", "gelu_tanh": ops.gelu_tanh}
ACTIVATIONS = (
    *(NAMES.get(name, name) for name in definitions.activations()),
    scaled,
)


@built
@pytest.mark.parametrize(
    "activation", ACTIVATIONS, ids=lambda a: getattr(a, "__name__", a)
)
@pytest.mark.parametrize(
    ("batch", "dtype", "jit"),
    [
        (False, "float32", False),
        (False, "float64", False),
        (True, "float64", False),
        (True, "float32", True),
    ],
)
def test_activations_are_those_of_keras(activation, jit, dtype, batch):
    """Also in the gradient, and in the gradient of that."""
    kind = layers.BatchNormalization if batch else layers.GroupNormalization
    arguments = {} if batch else {"groups": 3}
    call = {"training": True} if batch else {}
    x = tf.constant(X[:, :, 0], dtype)

    def third_of(mode):
        keras.utils.set_random_seed(0)
        layer = kind(activation=activation, dtype=dtype, **arguments)
        layer.build(x.shape)
        layer.gamma.assign(np.linspace(-1, 2, 12))

        @tf.function(jit_compile=jit)
        def run(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = layer(x, **call)
                    loss = tf.reduce_sum(y**3)
                sources = [x, layer.gamma.value, layer.beta.value]
                first = inner.gradient(loss, sources)
                twice = sum(tf.reduce_sum(g**2) for g in first)
            return y, first, outer.gradient(twice, sources)

        with ops.using_native(mode):
            return tf.nest.flatten(run(x))

    close = 1e-11 if dtype == "float64" else 2e-4
    if dtype == "float64" and activation in FLOAT32_CONSTANTS:
        close = 1e-6
    for got, want in zip(third_of("always"), third_of("never"), strict=True):
        scale = np.abs(want).max() + 1
        np.testing.assert_allclose(got / scale, want / scale, 0, close)


@built
@pytest.mark.parametrize("name", definitions.activations())
@pytest.mark.parametrize(
    ("dtype", "close"),
    [
        ("float32", 2e-6),
        ("float64", 1e-12),
        ("float16", 4e-3),
        ("bfloat16", 3e-2),
    ],
)
def test_activations_have_the_kinks_of_keras(name, dtype, close):
    """Kinks are at some of these numbers, which every type represents."""
    function = keras.activations.get(NAMES.get(name, name))
    assert native_ops.activation(function) == name
    if dtype == "float64" and NAMES.get(name, name) in FLOAT32_CONSTANTS:
        close = 1e-6
    x = tf.constant(np.arange(-8, 8.25, 0.25)[None, :, None], dtype)
    one = tf.ones([1, 1], "float64" if dtype == "float64" else "float32")

    def apply(x):
        return loader.load().keras_norms_apply(
            *(x, tf.zeros([0], "bool"), 0 * one, one, 0 * one),
            activation=name,
            axis=2,
            examples=1,
        )

    for compiled in (False, True):
        if compiled:
            loader.load(cache.XLA_LIBRARY)
            apply = tf.function(apply, jit_compile=True)
        for got, want in zip(
            (apply(x), slopes(apply, x)),
            (function(x), slopes(function, x)),
            strict=True,
        ):
            got, want = (np.float64(values) for values in (got, want))
            atol = close * (1 + np.abs(want).max())
            np.testing.assert_allclose(got, want, atol=atol, rtol=0)


def slopes(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x)


@keras.saving.register_keras_serializable(package="tests")
def fast_sine(x):
    return tf.sin(tf.constant(200.0) * x)


@built
def test_activations_unknown_to_the_library_are_given_float32():
    x = tf.cast(X, "float16")
    layer = layers.GroupNormalization(groups=4, activation=fast_sine)
    layer.build(x.shape)
    layer.dtype_policy = keras.DTypePolicy("mixed_float16")
    ours, composed = both_ways(lambda: layer(x))
    np.testing.assert_allclose(ours, composed, atol=5e-3)
