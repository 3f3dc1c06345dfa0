"""Normalization whose gamma and beta come from a second input."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.references import oracles

BATCH = 6
SHAPES = {-1: (BATCH, 4, 3, CHANNELS), 1: (BATCH, CHANNELS, 5)}
# A convolution takes the place of gamma and beta.
HELD = [
    d
    for d in DESCRIPTORS
    if d.create().name.find("unified") < 0 or "affine" in d.arguments
]
# The statistics that a layer takes: examples and groups per statistic.
STATISTICS = {
    "instance": (layers.InstanceNormalization(), 1, CHANNELS),
    "group": (layers.GroupNormalization(3), 1, 3),
    "layer": (layers.GroupNormalization(1), 1, 1),
    "batch": (layers.BatchNormalization(), None, CHANNELS),
    "ghost": (layers.GhostBatchNormalization(2), 2, CHANNELS),
}


def data(axis=-1, mean=0.0, seed=0):
    random = np.random.default_rng(seed)
    x, dy = random.normal(size=(2, *SHAPES[axis]))
    condition = random.normal(size=(BATCH, 2 * CHANNELS))
    return x + mean, dy, condition


def clone(layer, **arguments):
    return type(layer).from_config({**layer.get_config(), **arguments})


def randomized(layer):
    random = np.random.default_rng(3)
    for weight in layer.trainable_variables:
        weight.assign(random.uniform(0.2, 0.8, weight.shape))
    return layer


def gradients(function, *sources):
    sources = [tf.constant(source) for source in sources]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        y, dy = function(*sources)
    return [y, *tape.gradient(y, sources, dy)]


@pytest.mark.parametrize(
    ("axis", "masked"), [(-1, False), (-1, True), (1, False)]
)
@pytest.mark.parametrize("descriptor", HELD, ids=lambda d: d.id)
def test_equals_the_layer_followed_by_an_affine_map(descriptor, axis, masked):
    x, dy, condition = data(axis)
    norm = descriptor.create(dtype="float64", axis=axis)
    norm.build(x.shape)
    layer = layers.ConditionalNormalization(
        clone(norm), projection=None, dtype="float64"
    )
    layer.build(x.shape, condition.shape)
    randomized(norm), randomized(layer)
    mask = np.random.default_rng(1).random((BATCH, x.shape[1])) < 0.6
    mask[:, 0] = True
    mask = mask if masked else None
    shape = [1] * x.ndim
    shape[0], shape[axis] = BATCH, CHANNELS

    for training in (True, False):
        mode = {"training": training} if descriptor.running else {}

        def composite(x, condition, mode=mode):
            change, shift = tf.split(condition, 2, axis=1)
            y = norm(x, mask=mask, **mode)
            y = y * (1 + tf.reshape(change, shape)) + tf.reshape(shift, shape)
            return y, dy

        def conditional(x, condition, training=training):
            y = layer(x, condition, training=training, inputs_mask=mask)
            return y, dy

        want = gradients(composite, x, condition)
        have = gradients(conditional, x, condition)
        for name, a, b in zip(("y", "dx", "dc"), have, want, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mean", [0.0, 1e3])
@pytest.mark.parametrize("name", STATISTICS)
def test_float32_against_the_oracle(name, mean, jit):
    norm, examples, groups = STATISTICS[name]
    x, dy, condition = data(mean=mean)
    x, dy, condition = (a.astype("float32") for a in (x, dy, condition))
    norm = clone(norm, center=False, scale=False)
    layer = layers.ConditionalNormalization(norm, projection=None)

    @tf.function(jit_compile=jit)
    def step(x, condition):
        def call(x, condition):
            return layer(x, condition, training=True), dy

        return gradients_of(call, x, condition)

    def gradients_of(call, x, condition):
        with tf.GradientTape() as tape:
            tape.watch((x, condition))
            y, dy = call(x, condition)
        return [y, *tape.gradient(y, (x, condition), dy)]

    have = step(tf.constant(x), tf.constant(condition))
    one, zero = np.ones(CHANNELS), np.zeros(CHANNELS)
    wide = condition.astype("float64")
    scale = 1 + wide[:, None, None, :CHANNELS]
    shift = wide[:, None, None, CHANNELS:]
    plain = oracles.normalize(x, dy * scale, one, zero, -1, examples, groups)
    xhat, positions = plain.y, (1, 2)
    d_condition = np.concatenate(
        [(dy * xhat).sum(positions), dy.astype("float64").sum(positions)], 1
    )
    want = xhat * scale + shift, plain.dx, d_condition
    for a, b in zip(have, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=3e-6)


@pytest.mark.parametrize("name", ["instance", "group", "batch"])
def test_condition_gets_its_gradient_through_the_projection(name):
    """To 1e-6 of float64, also for inputs far from zero."""
    x, dy, _ = data(mean=100.0)
    x = x.astype("float32")
    condition = np.random.default_rng(5).normal(size=(BATCH, 7))
    norm = layers.GroupNormalization(3) if name == "group" else name
    results, weights = [], None
    for dtype in ("float32", "float64"):
        if name == "group":
            norm = clone(norm, dtype=dtype)
        layer = layers.ConditionalNormalization(norm, dtype=dtype)
        layer.build(x.shape, condition.shape)
        weights = weights or layer.get_weights()
        layer.set_weights(weights)

        def call(x, condition, layer=layer, dtype=dtype):
            y = layer(x, condition, training=True)
            return y, tf.constant(dy, dtype)

        sources = x.astype(dtype), condition.astype(dtype)
        results.append(gradients(call, *sources)[2].numpy())
    have, want = results
    assert np.abs(have - want).max() / np.abs(want).max() < 1e-6


def test_moments_transfer_the_style():
    """Each channel has the mean and the deviation of the condition's."""
    x, style, _ = data()
    style = style[:, :3] * 5 + 7
    layer = layers.ConditionalNormalization(
        layers.InstanceNormalization(epsilon=0.0, center=False, scale=False),
        "moments",
    )
    y = layer(x.astype("float32"), style.astype("float32")).numpy()
    for reduce in (np.mean, np.std):
        have, want = reduce(y, (1, 2)), reduce(style, (1, 2))
        np.testing.assert_allclose(have, want, rtol=1e-5)


def test_masked_style_does_not_count():
    x, style, _ = data()
    mask = np.arange(4) < np.arange(1, BATCH + 1)[:, None]
    layer = layers.ConditionalNormalization("instance", "moments")
    want = layer(x, style, condition_mask=mask)
    style[~mask] = np.nan
    np.testing.assert_array_equal(layer(x, style, condition_mask=mask), want)
    short = layer(x[:1], style[:1, :1])
    np.testing.assert_allclose(want[:1], short, atol=1e-6)


def test_zero_projection_ignores_the_condition():
    x, _, condition = data()
    dense = keras.layers.Dense(2 * CHANNELS, kernel_initializer="zeros")
    layer = layers.ConditionalNormalization("instance", dense)
    want = layers.InstanceNormalization()(x)
    np.testing.assert_allclose(layer(x, condition), want, atol=1e-6)
