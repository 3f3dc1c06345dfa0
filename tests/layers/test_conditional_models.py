"""Models with a conditional normalization."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import models
from tests.support.refusals import refusal

SHAPE = (4, 3, 6)


def model_of(norm, projection="dense"):
    x = keras.Input(SHAPE)
    condition = keras.Input((5,))
    y = layers.ConditionalNormalization(norm, projection, name="c")(
        keras.layers.Masking()(x), condition
    )
    return keras.Model([x, condition], y)


@pytest.mark.parametrize("replicas", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_model_trains_and_is_saved(tmp_path, strategy, replicas, policy):
    strategy = strategy if replicas else tf.distribute.get_strategy()
    random = np.random.default_rng(0)
    x = random.normal(size=(8, *SHAPE)).astype("float32")
    x[:, 2:] = 0  # masked
    condition = random.normal(size=(8, 5)).astype("float32")
    keras.config.set_dtype_policy(policy)
    try:
        with strategy.scope():
            model = model_of(
                layers.CrossReplicaBatchNormalization(activation="relu")
            )
            model.compile("sgd", "mse")
    finally:
        keras.config.set_dtype_policy("float32")
    layer = model.get_layer("c")
    before = [w.numpy() for w in layer.weights]
    model.fit([x, condition], 1 + 0 * x, verbose=0)
    assert all(
        (w.numpy() != b).any()
        for w, b in zip(layer.weights, before, strict=True)
    )
    # The statistics are those of the positions that are not masked.
    np.testing.assert_allclose(
        layer.normalization.moving_mean,
        0.01 * x[:, :2].mean((0, 1, 2)),
        atol=1e-4 if policy == "float32" else 1e-3,
    )
    want = model.predict([x, condition], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    have = loaded.predict([x, condition], verbose=0)
    np.testing.assert_array_equal(have, want)
    model.export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(tmp_path / "export")
    served = exported.serve([x, condition])
    tolerance = 1e-5 if policy == "float32" else 0.1
    np.testing.assert_allclose(
        tf.cast(served, "float32"), want.astype("float32"), atol=tolerance
    )


def test_functions_on_models_reach_the_layer_inside(tmp_path):
    model = model_of(layers.BatchNormalization(name="norm"))
    x = np.random.default_rng(0).normal(3, 2, (16, *SHAPE))
    inputs = [x.astype("float32"), np.ones((16, 5), "float32")]
    models.recalibrate_statistics(model, [(inputs,)], verbose=0)
    norm = model.get_layer("c").normalization
    np.testing.assert_allclose(norm.moving_mean, x.mean((0, 1, 2)), atol=1e-5)
    [row] = models.describe_normalization(model, len)
    assert row.path == "c/norm"
    want = model.predict(inputs, verbose=0)
    copy = models.convert_normalization(model, "GhostBatchNormalization")
    assert isinstance(
        copy.get_layer("c").normalization, layers.GhostBatchNormalization
    )
    np.testing.assert_allclose(
        copy.predict(inputs, verbose=0), want, atol=1e-6
    )
    unified = models.convert_normalization(model, "UnifiedBatchNormalization")
    assert unified.get_layer("c").normalization.affine == "channel"
    np.testing.assert_allclose(
        unified.predict(inputs, verbose=0), want, atol=1e-5
    )
    unified.save(tmp_path / "m.keras")
    keras.saving.load_model(tmp_path / "m.keras")
    message = refusal(models.convert_normalization, model, "keras")
    assert "no such layer" in message


def test_short_configurations_and_regularizers_of_outputs():
    layer = layers.ConditionalNormalization.from_config({})
    assert layer.get_config()["projection"] == "dense"
    norm = layers.BatchNormalization(activity_regularizer="l2")
    layer = layers.ConditionalNormalization(norm)
    y = layer(np.ones((2, 3)), np.ones((2, 4)))
    expected = keras.regularizers.get("l2")(y) / 2
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-6)


def test_one_condition_is_for_all_examples():
    x = np.random.default_rng(0).normal(size=(4, 5))
    layer = layers.ConditionalNormalization("batch", None)
    one = np.random.default_rng(1).normal(size=(1, 10))
    np.testing.assert_allclose(
        layer(x, one), layer(x, np.repeat(one, 4, 0)), atol=1e-6
    )
    assert refusal(layer.call, x, tf.zeros((2, 10))) == (
        "The condition must have a row for each example, or one for all. "
        "Received: 2 rows for 4 examples. Pass as many rows as examples."
    )
