"""Layer normalization in models, and the arguments that it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import models
from tests.support.refusals import refusal


def images():
    return np.random.default_rng(0).normal(size=(7, 5, 20))


def test_mask_of_an_embedding_changes_nothing_but_is_passed_on():
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    embedding = keras.layers.Embedding(5, 8, mask_zero=True)
    h = embedding(tokens)
    y = layers.LayerNormalization()(h)
    np.testing.assert_array_equal(y._keras_mask, tokens > 0)
    want = keras.layers.LayerNormalization()(h)
    np.testing.assert_allclose(y, want, atol=1e-5)


def test_unknown_sizes():
    layer, x = layers.LayerNormalization(), images().astype("float32")
    signature = [tf.TensorSpec([None, None, 20], "float32")]
    for jit in (False, True):
        run = tf.function(layer, input_signature=signature, jit_compile=jit)
        np.testing.assert_allclose(run(x), layer(x), atol=1e-6)


@pytest.mark.parametrize("axis", [-1, [1, 2]])
def test_condition_scales_and_shifts(axis):
    """Adaptive layer norm of diffusion transformers."""
    x = images()
    condition = np.random.default_rng(4).normal(size=(7, 40))
    norm = layers.LayerNormalization(axis, dtype="float64", activation="silu")
    layer = layers.ConditionalNormalization(norm, None, dtype="float64")
    have = layer(x, condition).numpy()
    plain = layers.LayerNormalization(axis, dtype="float64")(x).numpy()
    scale, shift = 1 + condition[:, None, :20], condition[:, None, 20:]
    want = keras.activations.silu(plain * scale + shift)
    np.testing.assert_allclose(have, want, atol=1e-12)


def test_model_is_converted_trained_and_saved(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((6, 20)),
            keras.layers.LayerNormalization(name="norm"),
            keras.layers.LayerNormalization([1, 2]),
            keras.layers.Dense(3),
        ]
    )
    x = np.random.default_rng(0).normal(3, 2, (8, 6, 20)).astype("float32")
    ours = models.convert_normalization(model, "keras_norms")
    assert type(ours.get_layer("norm")) is layers.LayerNormalization
    want = model.predict(x, verbose=0)
    np.testing.assert_allclose(ours.predict(x, verbose=0), want, atol=1e-5)
    for each in (model, ours):
        each.compile("sgd", "mse")
        each.fit(x, 0 * want, verbose=0, shuffle=False)
    for a, b in zip(model.weights, ours.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    want = ours.predict(x, verbose=0)
    ours.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), want)
    ours.export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(tmp_path / "export")
    np.testing.assert_allclose(exported.serve(x), want, atol=1e-5)
    back = models.convert_normalization(ours, "keras")
    np.testing.assert_allclose(back.predict(x, verbose=0), want, atol=1e-5)
    ours.save_weights(tmp_path / "m.weights.h5")
    model.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(model.predict(x, verbose=0), want, atol=1e-5)


@pytest.mark.parametrize("axis", [0, [1, 0], "last", 1.0, [], None])
def test_other_axes_are_refused(axis):
    assert refusal(layers.LayerNormalization, axis) == (
        "`axis` must be an integer or a list of integers, without the batch "
        f"axis, 0. Received: axis={axis!r}. Use -1 for the last axis."
    )


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        (3, (2, 4, 5)),
        ([1, -2], (2, 4, 5)),
        ([1, 2], (2, None, 5)),
        (-3, (2, 4, 5)),
    ],
)
def test_axes_that_do_not_fit_are_refused(axis, shape):
    layer = layers.LayerNormalization(axis)
    assert refusal(layer.build, shape) == (
        "`axis` must name axes of the inputs between 1 and rank - 1, each "
        f"once and of a known size. Received: axis={axis!r} for inputs of "
        f"shape {shape}. Correct the axes, or state their sizes in "
        "`keras.Input`."
    )


def test_rms_scaling_is_refused():
    assert refusal(layers.LayerNormalization, rms_scaling=True) == (
        "`rms_scaling` divides by the standard deviation without subtracting "
        "the mean, and Keras has deprecated it. Received: rms_scaling=True. "
        "Use `keras.layers.RMSNormalization`."
    )
