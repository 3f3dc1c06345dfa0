"""Native operations have exact gradients, in eager mode and under XLA."""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import loader
from tests.support.native_library import X
from tests.support.native_library import both_ways
from tests.support.native_library import built


@built
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_moments_have_gradients_of_both_orders(masked, jit):
    """Of a sum of weighted means and variances, and of its gradient's square,
    by the formulas: 2 w (x - mean) / n, w / n, (2 w / n)**2 (x - mean)."""
    random = np.random.default_rng(1)
    x, mask = X.astype("float64"), np.ones(X.shape[:-1], bool)
    if masked:
        mask = random.random(mask.shape) > 0.5
        mask[0] = False
    weight, count = mask[..., None], np.maximum(mask.sum((1, 2)), 1)
    about, over = (random.normal(size=(5, 12)) for _ in range(2))
    mean = (x * weight).sum((1, 2)) / count[:, None]
    centered = (x - mean[:, None, None]) * weight
    slope = (2 * over / count[:, None])[:, None, None]
    first = slope * centered + (about / count[:, None])[:, None, None] * weight

    @tf.function(jit_compile=jit)
    def derivatives(x, mask):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(x)
                moments = ops.instance_moments(x, mask)
                spread = tf.reduce_sum(over * moments.variance)
                total = tf.reduce_sum(about * moments.mean) + spread
            squares = tf.reduce_sum(inner.gradient(spread, x) ** 2) / 2
        return inner.gradient(total, x), outer.gradient(squares, x)

    with ops.using_native("always"):
        have = derivatives(tf.constant(x), mask if masked else None)
    np.testing.assert_allclose(have[0], first, atol=1e-14)
    np.testing.assert_allclose(have[1], slope**2 * centered, atol=1e-14)


@built
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_depthwise_convolution_has_second_derivatives(use_bias, jit):
    """The operation itself, as maps convert it, has the first one."""
    x = tf.constant(X, "float64")
    random = np.random.default_rng(1)
    dy = random.normal(size=X.shape)
    layer = layers.EnhancedAffine(use_bias=use_bias, dtype="float64")
    layer.build(x.shape)
    layer.kernel.assign(random.normal(size=layer.kernel.shape))

    def derivatives():
        @tf.function(jit_compile=jit)
        def run(x):
            weights = [v.value for v in layer.trainable_variables]
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = layer(x) ** 2
                first = inner.gradient(y, [x, *weights], dy)
                total = sum(tf.reduce_sum(each**2) for each in first)
            second = outer.gradient(total, [x, *weights])
            return tf.concat([tf.reshape(d, [-1]) for d in second], 0)

        return run(x)

    native, composed = both_ways(derivatives)
    scale = np.abs(composed).max()
    np.testing.assert_allclose(native / scale, composed / scale, atol=1e-13)
    weights = tf.reshape(layer.kernel, [9, 12])
    library = loader.load()
    found = []
    for convolve in (
        lambda x: library.keras_norms_depthwise(
            x, weights, tf.zeros([0, 12], x.dtype), axis=3, window=3
        ),
        layer,
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = convolve(x)
        found.append(tape.gradient(y, x, dy))
    np.testing.assert_allclose(*found, atol=1e-12)


@built
@pytest.mark.parametrize("jit", [False, True])
def test_a_large_mean_costs_no_digits_in_gradients(jit):
    x = np.float64(X[:, :, 0]) + 1e4
    dy = np.random.default_rng(1).normal(size=x.shape)

    def gradient(dtype, mode):
        layer = layers.GroupNormalization(groups=3, dtype=dtype)
        with ops.using_native(mode):
            layer.build(x.shape)

            @tf.function(jit_compile=jit)
            def run(x, dy):
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = layer(x)
                return y, tape.gradient(y, x, dy)

            float32 = np.float32(x)
            return run(*(tf.constant(a, dtype) for a in (float32, dy)))

    want = gradient("float64", "never")
    for got, exact in zip(gradient("float32", "always"), want, strict=True):
        np.testing.assert_allclose(got, exact, atol=1e-5)


@built
def test_gradients_of_moments_keep_their_digits_with_a_large_mean():
    x = (1e4 + np.random.default_rng(2).normal(size=X.shape)).astype("float32")
    exact = x.astype("float64")
    want = 2 * (exact - exact.mean((1, 2), keepdims=True)) / 42
    with ops.using_native("always"), tf.GradientTape() as tape:
        x = tf.constant(x)
        tape.watch(x)
        variance = ops.instance_moments(x).variance
    np.testing.assert_allclose(tape.gradient(variance, x), want, atol=1e-6)


@built
@pytest.mark.parametrize("name", ["GroupNormalization", "BatchNormalization"])
def test_vectorized_maps_have_gradients(name):
    layer = getattr(layers, name)()
    layer.build((None, 6, 7, 12 if name[0] == "B" else 32))
    x = tf.tile(tf.constant(X), [1, 1, 1, 3])[..., : layer.gamma.shape[0]]

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.vectorized_map(lambda e: layer(e[None])[0], x)
        return tape.gradient(y, x, tf.sin(x))

    ours, composed = both_ways(gradient)
    np.testing.assert_allclose(ours, composed, atol=1e-4)


@built
def test_forward_mode_is_refused_and_composed():
    x = tf.constant(X)
    layer = layers.GroupNormalization(groups=4)

    def along():
        with tf.autodiff.ForwardAccumulator(x, x) as forward:
            y = layer(x)
        return forward.jvp(y)

    with ops.using_native("always"):
        with pytest.raises(NotImplementedError) as refused:
            along()
        # Within what Keras says of the layer.
        assert (
            "The gradient operations of the native library have no gradient. "
            "Received: KerasNorms>GroupNormGradient, which was differentiated "
            "alone, as `tf.autodiff.ForwardAccumulator` does it. Trace this "
            "code within `keras_norms.ops.using_native('never')`."
        ) in str(refused.value)
    with ops.using_native("never"):
        # A norm of a multiple of x is that of x, but for epsilon.
        np.testing.assert_allclose(along(), 0 * X, atol=2e-3)
