"""Layer normalization against float64, and against Keras's layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops

CASES = {
    "last": ((7, 5, 20), -1),
    "narrow": ((7, 5, 3), -1),
    "rank 2": ((9, 131), 1),
    "image": ((3, 4, 5, 6), (1, 2, 3)),
    "first": ((3, 18, 5), 1),
    "middle": ((2, 3, 17, 4), [2]),
    "mixed signs": ((2, 4, 3, 5), (-1, 1)),
    "one element": ((4, 1), -1),
    "empty": ((0, 3, 20), -1),
}
every_case = pytest.mark.parametrize("case", CASES)
backends = pytest.mark.parametrize("native", ["never", "auto"])
GELU = keras.activations.gelu


def data(case, mean=0.0, dtype="float64"):
    shape, axis = CASES[case]
    random = np.random.default_rng(0)
    x = random.normal(size=shape) * random.uniform(
        0.5, 2, shape[:1] + (1,) * (len(shape) - 1)
    )
    dy = random.normal(size=shape)
    return (x + mean).astype(dtype), dy.astype(dtype), axis


def built(case, **arguments):
    shape, axis = CASES[case]
    layer = layers.LayerNormalization(axis, **arguments)
    layer.build((None, *shape[1:]))
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return layer


def expected(layer, x, dy, axis, mask=None):
    """y, and the gradients of x, gamma and beta in float64."""
    x, dy = x.astype("float64"), dy.astype("float64")
    axes = tuple(np.atleast_1d(axis) % x.ndim)
    others = tuple(a for a in range(x.ndim) if a not in axes)
    shape = [n if a in axes else 1 for a, n in enumerate(x.shape)]
    gamma, beta = (
        w.numpy().astype("float64").reshape(shape)
        for w in (layer.gamma, layer.beta)
    )
    weight = (
        np.ones(x.shape)
        if mask is None
        else np.broadcast_to(
            mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x.shape
        ).astype("float64")
    )
    count = np.maximum(weight.sum(axes, keepdims=True), 1)
    total = weight.sum(axes, keepdims=True)

    def mean(values):
        return (weight * values).sum(axes, keepdims=True) / count

    centered = x - mean(x)
    rstd = 1 / np.sqrt(mean(centered**2) + layer.epsilon)
    n = centered * rstd
    dy = dy * (total > 0)
    g = dy * gamma
    sums = (
        g.sum(axes, keepdims=True) + n * (g * n).sum(axes, keepdims=True)
    ) / count
    dx = rstd * (g - weight * sums)
    y = (n * gamma + beta) * (total > 0)
    sizes = layer.gamma.shape
    return (
        y,
        dx,
        (dy * n).sum(others).reshape(sizes),
        dy.sum(others).reshape(sizes),
    )


def step(layer, x, dy, mask=None, jit=None):
    def run(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask)
        sources = [x, layer.gamma.value, layer.beta.value]
        return y, *tape.gradient(y, sources, dy)

    if jit is not None:
        run = tf.function(run, jit_compile=jit)
    return [np.array(v) for v in run(tf.constant(x), tf.constant(dy))]


@every_case
@backends
@pytest.mark.parametrize("jit", [None, True])
def test_float64_equals_the_oracle(case, native, jit):
    x, dy, axis = data(case)
    layer = built(case, dtype="float64")
    with ops.using_native(native):
        have = step(layer, x, dy, jit=jit)
    for a, b in zip(have, expected(layer, x, dy, axis), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@every_case
@backends
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_float32_is_accurate_for_large_means(case, native, mean):
    x, dy, axis = data(case, mean, "float32")
    layer = built(case)
    with ops.using_native(native):
        have = step(layer, x, dy, jit=False)
    for a, b in zip(have, expected(layer, x, dy, axis), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@backends
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_rounded_once(native, dtype):
    x, dy, axis = data("last")
    x, dy = (np.array(tf.cast(tf.cast(a, dtype), "float32")) for a in (x, dy))
    layer = built("last", dtype=f"mixed_{dtype}")
    with ops.using_native(native):
        have = step(layer, tf.cast(x, dtype), tf.cast(dy, dtype))
    assert layer(tf.cast(x, dtype)).dtype == dtype
    assert layer.gamma.dtype == "float32"
    ulp = {"float16": 2**-11, "bfloat16": 2**-8}[dtype]
    for a, b in zip(have, expected(layer, x, dy, axis), strict=True):
        a = a.astype("float32")
        np.testing.assert_allclose(a, b, rtol=1.01 * ulp, atol=1e-4)


@every_case
def test_keras_has_the_same_outputs_and_weights(case, tmp_path):
    x, _, axis = data(case)
    ours = built(case, dtype="float64")
    # Keras reshapes gamma wrongly if the signs of the axes differ.
    axes = [a % x.ndim for a in np.atleast_1d(axis)]
    theirs = keras.layers.LayerNormalization(axes, dtype="float64")
    theirs.build(x.shape)
    theirs.set_weights([w.numpy() for w in ours.weights])
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-12)
    config = theirs.get_config()
    copy = layers.LayerNormalization.from_config(config)
    assert copy.get_config()["axis"] == config["axis"]
    assert isinstance(copy, keras.layers.LayerNormalization)


@backends
@pytest.mark.parametrize("activation", ["relu", GELU, "softmax"])
def test_activations_follow(native, activation):
    x, dy, _ = data("last", dtype="float32")
    plain, active = built("last"), built("last", activation=activation)
    function = keras.activations.get(activation)
    reference = keras.Sequential([plain, keras.layers.Activation(function)])
    reference.gamma, reference.beta = plain.gamma, plain.beta

    def composite(x, mask=None):
        return function(plain(x))

    composite.gamma, composite.beta = plain.gamma, plain.beta
    with ops.using_native(native):
        have = step(active, x, dy)
        want = step(composite, x, dy)
    for a, b in zip(have, want, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@backends
@pytest.mark.parametrize("case", ["last", "image", "middle"])
def test_masked_positions_are_excluded(case, native):
    x, dy, axis = data(case)
    layer = built(case, dtype="float64")
    mask = np.random.default_rng(2).random(x.shape[:2]) < 0.6
    mask[0] = False
    covered = case == "image"
    wanted = mask if covered else None
    y, dx, d_gamma, d_beta = expected(layer, x, dy, axis, wanted)
    with ops.using_native(native):
        have = step(layer, x, dy, mask)
        for a, b in zip(have, (y, dx, d_gamma, d_beta), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        # Padding may hold anything.
        x[~mask] = np.nan
        dy[~mask] = 0
        for each in step(layer, x, dy, mask):
            assert np.isfinite(each).all()
        have = layer(x, mask=mask).numpy()[mask]
    np.testing.assert_allclose(have, y[mask], atol=1e-12)


@backends
def test_second_derivatives(native):
    x, dy, _ = data("last")
    layer = built("last", dtype="float64")

    def norm(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(layer(x) * dy)
        return tf.reduce_sum(tape.gradient(y, x) ** 2)

    with ops.using_native(native):
        point = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = norm(point)
        have = tape.gradient(value, point).numpy()
        direction = np.random.default_rng(3).normal(size=x.shape)
        shifted = [
            norm(tf.constant(x + s * 1e-5 * direction)).numpy()
            for s in (1, -1)
        ]
    want = (shifted[0] - shifted[1]) / 2e-5
    np.testing.assert_allclose((have * direction).sum(), want, rtol=1e-6)
