"""Standardized kernels of convolutions and dense layers."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.support.refusals import refusal

WRAPPED = {
    "dense": (keras.layers.Dense(5), (2, 7), (0,)),
    "conv1d": (keras.layers.Conv1D(5, 3), (2, 7, 4), (0, 1)),
    "conv2d": (keras.layers.Conv2D(6, 3, groups=2), (2, 7, 7, 4), (0, 1, 2)),
    "conv3d": (keras.layers.Conv3D(5, 2), (2, 4, 4, 4, 3), (0, 1, 2, 3)),
    "transpose": (
        keras.layers.Conv2DTranspose(5, 3),
        (2, 7, 7, 4),
        (0, 1, 3),
    ),
    "depthwise": (
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
        (2, 7, 7, 4),
        (0, 1),
    ),
    "pointwise": (keras.layers.Conv2D(5, 1), (2, 7, 7, 1), (0, 1, 2)),
}
every_wrapped = pytest.mark.parametrize("kind", WRAPPED)
scaled_or_not = pytest.mark.parametrize("scaled", [False, True])


def wrap(kind, scaled=False, **more):
    layer, shape, axes = WRAPPED[kind]
    layer = type(layer).from_config({**layer.get_config(), **more})
    wrapper = layers.WeightStandardization(layer, scaled=scaled)
    wrapper.build(shape)
    random = np.random.default_rng(1)
    kernel = random.normal(100, 2, layer.kernel.shape)
    layer.kernel.assign(kernel)
    if scaled:
        wrapper.gain.assign(random.uniform(0.5, 2, wrapper.gain.shape))
    x = np.random.default_rng(0).normal(size=shape)
    return wrapper, x, axes


def standardized(kernel, axes, gain=None):
    mean = kernel.mean(axes, keepdims=True)
    stddev = kernel.std(axes, keepdims=True)
    if gain is None:
        return (kernel - mean) / (stddev + 1e-5)
    fan_in = kernel.size / gain.numpy().size
    gain = gain.numpy().reshape(stddev.shape)
    return (
        gain * (kernel - mean) / np.sqrt(np.maximum(fan_in * stddev**2, 1e-5))
    )


@every_wrapped
@scaled_or_not
@pytest.mark.parametrize("jit", [False, True])
def test_layer_uses_the_standardized_kernel(kind, scaled, jit):
    wrapper, x, axes = wrap(kind, scaled, dtype="float64")
    plain = type(wrapper.layer).from_config(wrapper.layer.get_config())
    plain.build(x.shape)
    kernel = wrapper.layer.kernel.numpy()
    plain.kernel.assign(standardized(kernel, axes, wrapper.gain))
    y = tf.function(wrapper, jit_compile=jit)(tf.constant(x))
    np.testing.assert_allclose(y, plain(x), atol=1e-12)
    # The stored kernel does not change.
    np.testing.assert_array_equal(wrapper.layer.kernel, kernel)
    assert len(wrapper.weights) == len(plain.weights) + scaled


@every_wrapped
@scaled_or_not
def test_gradients_equal_finite_differences(kind, scaled):
    wrapper, x, axes = wrap(kind, scaled, dtype="float64")
    kernel = wrapper.layer.kernel
    dy = np.random.default_rng(2).normal(size=wrapper(x).shape)
    with tf.GradientTape() as tape:
        y = wrapper(x)
    have = tape.gradient(y, kernel.value, tf.constant(dy)).numpy()
    np.testing.assert_allclose(have.sum(axes), 0, atol=1e-9)
    if kind == "pointwise":
        return  # The single weight per output is standardized to 0.
    direction = np.random.default_rng(3).normal(size=kernel.shape)
    start = kernel.numpy()
    totals = []
    for sign in (1, -1):
        kernel.assign(start + sign * 1e-5 * direction)
        totals.append((wrapper(x).numpy() * dy).sum())
    want = (totals[0] - totals[1]) / 2e-5
    np.testing.assert_allclose((have * direction).sum(), want, rtol=1e-5)


def test_gain_has_the_gradient_of_its_outputs():
    wrapper, x, _ = wrap("dense", scaled=True, dtype="float64")
    with tf.GradientTape() as tape:
        y = wrapper(x)
    bias = wrapper.layer.bias.numpy()
    want = (y.numpy() - bias).sum(0) / wrapper.gain.numpy()
    have = tape.gradient(y, wrapper.gain.value)
    np.testing.assert_allclose(have, want, rtol=1e-10)


def test_scaled_layers_preserve_the_variance_of_independent_inputs():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(2000, 256))
    dense = keras.layers.Dense(64, use_bias=False)
    y = layers.WeightStandardization(dense, scaled=True)(x)
    assert abs(np.std(y) - 1) < 0.02


@every_wrapped
@scaled_or_not
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_kernels_are_standardized_in_float32(kind, scaled, policy):
    wrapper, x, axes = wrap(kind, scaled, dtype=policy)
    plain = type(wrapper.layer).from_config(wrapper.layer.get_config())
    plain.build(x.shape)
    kernel = wrapper.layer.kernel.numpy().astype("float64")
    plain.kernel.assign(standardized(kernel, axes, wrapper.gain))
    y = wrapper(x)
    assert y.dtype == plain.compute_dtype
    np.testing.assert_allclose(
        tf.cast(y, "float32"), tf.cast(plain(x), "float32"), atol=0.01
    )
    inputs = keras.Input(x.shape[1:])
    assert wrapper(inputs).dtype == plain.compute_dtype


def test_equal_weights_return_zeros_with_finite_gradient():
    layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
    wrapper = layers.WeightStandardization(layer)
    x = tf.ones((3, 4))
    with tf.GradientTape() as tape:
        y = wrapper(x)
    np.testing.assert_array_equal(y, np.zeros((3, 2)))
    assert np.isfinite(tape.gradient(y, layer.kernel.value)).all()


@pytest.mark.parametrize(
    ("kind", "scaled"),
    [("conv2d", False), ("depthwise", True), ("dense", False)],
)
def test_wrapped_model_trains_and_is_saved(kind, scaled, tmp_path, strategy):
    wrapper, x, _ = wrap(kind, scaled)
    config = wrapper.get_config()
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                layers.WeightStandardization.from_config(config),
                layers.GroupNormalization(groups=1),
                layers.ThresholdedLinearUnit(),
            ]
        )
        model.compile("sgd", "mse")
    x = np.concatenate([x] * 4)
    before = model.layers[0].layer.kernel.numpy()
    model.fit(x, np.ones(model(x).shape), verbose=0)
    assert (model.layers[0].layer.kernel.numpy() != before).any()
    assert (model.layers[2].tau.numpy() != 0).any()
    want = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), want, atol=1e-6)
    model.export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(tmp_path / "export")
    served = exported.serve(x.astype("float32"))
    np.testing.assert_allclose(served, want, atol=1e-6)


X = np.random.default_rng(0).normal(1, 2, (70, 4)).astype("float32")


def test_low_rank_update_is_refused():
    dense = keras.layers.Dense(3, name="dense")
    wrapper = layers.WeightStandardization(dense)
    wrapper(X)
    dense.enable_lora(2)
    assert refusal(wrapper.call, X) == (
        "WeightStandardization requires a kernel that is trained as it is "
        "stored. Received: 'dense', with a low-rank update. Exclude the "
        "wrapped layer from it."
    )


def test_wrapped_layer_keeps_its_activity_regularizer():
    def loss(wrap):
        keras.utils.set_random_seed(0)
        dense = keras.layers.Dense(
            3, activity_regularizer="l2", kernel_regularizer="l2"
        )
        model = keras.Sequential([keras.Input((4,)), wrap(dense)])
        model(X)
        return [float(value) for value in model.losses]

    plain = loss(lambda dense: dense)
    wrapped = loss(layers.WeightStandardization)
    assert len(wrapped) == len(plain) == 2
    assert min(np.abs(np.subtract.outer(wrapped, plain)).min(0)) < 1e-6


def test_stateless_call_replaces_every_weight():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.WeightStandardization(keras.layers.Dense(1)),
        ]
    )
    values = [v.value for v in model.trainable_variables]
    values[1] = tf.constant([100.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        y, _ = model.stateless_call(values, [], 0 * X[:2])
    np.testing.assert_array_equal(y, [[100.0], [100.0]])
    assert tape.gradient(y, values)[1] == 2


def test_mask_propagates_as_without_the_wrapper():
    wrap = layers.WeightStandardization
    for layer in (
        keras.layers.Conv1D(4, 3, strides=2),
        keras.layers.Dense(4),
    ):
        x = tf.ones((2, 9, 3))
        inputs = keras.layers.Masking()(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            masks = [
                getattr(each(inputs), "_keras_mask", None)
                for each in (layer, wrap(layer))
            ]
        assert (masks[0] is None) == (masks[1] is None)
