"""Frozen layers in `fit`, in custom loops and on replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms.models import freeze_normalization
from keras_norms.models import unfreeze_normalization
from tests.support.refusals import refusal

STATISTICS = ("moving_mean", "moving_variance", "similarity")
LAYERS = {
    "keras": keras.layers.BatchNormalization,
    "batch": layers.BatchNormalization,
    "cross-replica": layers.CrossReplicaBatchNormalization,
    "unified": layers.UnifiedBatchNormalization,
}


def model_of(norm):
    return keras.Sequential(
        [
            keras.Input((4, 6)),
            keras.layers.TimeDistributed(keras.layers.Dense(5)),
            keras.Sequential([keras.Input((4, 5)), norm]),
            keras.layers.GroupNormalization(5),
        ]
    )


def data():
    random = np.random.default_rng(0)
    return (
        random.normal(2.0, 3.0, (8, 4, n)).astype("float32") for n in (6, 5)
    )


def values(model):
    return {variable.path: variable.numpy() for variable in model.weights}


def changed(model, before):
    """Whether statistics, and whether other weights of norms, changed."""
    names = {
        path.rpartition("/")[2]
        for path, value in values(model).items()
        if "dense" not in path and not np.array_equal(value, before[path])
    }
    return bool(names & set(STATISTICS)), bool(names - set(STATISTICS))


def fit(model, strategy):
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(*data(), batch_size=8, epochs=2, verbose=0)


def custom_loop(model, strategy):
    optimizer = keras.optimizers.SGD(0.1)
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        optimizer.apply(tape.gradient(loss, variables), variables)

    strategy.run(step, args=tuple(map(tf.constant, data())))


@pytest.mark.parametrize("train", [fit, custom_loop])
@pytest.mark.parametrize("replicas", [False, True])
@pytest.mark.parametrize(
    ("name", "statistics", "affine"),
    [
        (name, *frozen)
        for name in LAYERS
        for frozen in ((True, True), (True, False), (False, True))
        if (name, *frozen) != ("keras", True, False)
    ],
)
def test_frozen_values_do_not_change(
    name, statistics, affine, replicas, train, strategy
):
    used = strategy if replicas else tf.distribute.get_strategy()
    with used.scope():
        model = model_of(LAYERS[name]())
        found = freeze_normalization(model, statistics, affine)
        assert model.layers[1].layers[0] in found
        before = values(model)
        train(model, used)
        assert changed(model, before) == (not statistics, not affine)
        unfreeze_normalization(model, statistics, affine)
        before = values(model)
        train(model, used)
        assert changed(model, before) == (True, True)


@pytest.mark.parametrize("affine", [True, False])
def test_frozen_statistics_normalize(affine):
    norm = layers.BatchNormalization()
    model = keras.Sequential([keras.Input((3,)), norm])
    freeze_normalization(model, affine=affine)
    x = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(model(x, training=True), model(x))


def test_saved_with_the_model(tmp_path):
    model = model_of(layers.BatchNormalization())
    freeze_normalization(model, affine=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    (norm,) = loaded.layers[1].layers
    assert norm.frozen_statistics
    assert norm.trainable


def test_one_after_the_other_is_both():
    model = model_of(layers.BatchNormalization())
    (norm,) = model.layers[1].layers
    freeze_normalization(model, affine=False)
    freeze_normalization(model, statistics=False)
    assert not norm.trainable
    unfreeze_normalization(model, statistics=False)
    assert norm.frozen_statistics
    assert len(norm.trainable_variables) == 2
    unfreeze_normalization(model)
    assert not norm.frozen_statistics
    assert norm.trainable


def test_refusals():
    model = model_of(keras.layers.BatchNormalization(name="theirs"))
    assert refusal(freeze_normalization, model, affine=False) == (
        "Batch normalizations of Keras cannot train gamma and beta with "
        "frozen statistics. Received: 'theirs', statistics=True, "
        "affine=False. Convert the model first, with "
        "`keras_norms.models.convert_normalization(model, 'keras_norms')`, "
        "or freeze both."
    )
    assert len(model.trainable_variables) == 6
    assert refusal(freeze_normalization, model, False, False) == (
        "`statistics` or `affine` must be True. Received: both False. Choose "
        "what changes."
    )
    unbuilt = keras.Sequential([layers.BatchNormalization()])
    assert refusal(freeze_normalization, unbuilt) == (
        "The model must be built, so that its weights can be frozen. "
        f"Received: {unbuilt.name!r}, which is not built. Call "
        "`model.build(shape)`, or add an `Input`."
    )
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert refusal(freeze_normalization, dense) == (
        "The model must contain a normalization layer of keras_norms or "
        f"keras.layers. Received: {dense.name!r}, which contains none. Pass "
        "the model that contains them."
    )
