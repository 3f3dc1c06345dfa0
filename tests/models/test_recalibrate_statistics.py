"""Recalibrated statistics against those of the concatenated data."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms.models import recalibrate_statistics
from tests.support.refusals import refusal

CHANNELS = 5
SIZES = (7, 1, 16, 5)
LAYERS = {
    "keras": keras.layers.BatchNormalization,
    "batch": layers.BatchNormalization,
    "renorm": lambda: layers.BatchNormalization(renorm=True),
    "ghost": lambda: layers.GhostBatchNormalization(
        3, ghost_statistics="sequential"
    ),
    "cross-replica": layers.CrossReplicaBatchNormalization,
    "batch-group": lambda: layers.BatchGroupNormalization(5),
    "dynamic": layers.DynamicNormalization,
    # Its gate would close, because these examples are not alike.
    "unified": lambda: layers.UnifiedBatchNormalization(bound=1.0),
    "frozen": lambda: layers.BatchNormalization(trainable=False),
    "frozen keras": lambda: keras.layers.BatchNormalization(trainable=False),
}


def batches(offset=3.0):
    random = np.random.default_rng(0)
    return [
        random.normal(offset, 2.0, (n, 3, 4, CHANNELS)).astype("float32")
        for n in SIZES
    ]


def moments(data):
    rows = np.concatenate([x.reshape(-1, CHANNELS) for x in data])
    rows = rows.astype("float64")
    return rows.mean(0), rows.var(0)


def model_of(norm):
    return keras.Sequential([keras.Input((3, 4, CHANNELS)), norm])


def state(model):
    return [weight.numpy() for weight in model.weights]


@pytest.mark.parametrize("replicas", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_concatenated_data(name, replicas, strategy):
    with strategy.scope() if replicas else contextlib.nullcontext():
        model = model_of(LAYERS[name]())
    weights = [(weight, weight.numpy()) for weight in model.weights]
    attributes = {
        key: value
        for key, value in vars(model.layers[-1]).items()
        if not key.startswith("_")
    }
    (layer,) = recalibrate_statistics(model, batches(), verbose=0)
    mean, variance = moments(batches())
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-6)
    for weight, before in weights:
        if not weight.name.startswith(("moving_", "renorm_")):
            np.testing.assert_array_equal(weight, before)
    for key, value in attributes.items():
        assert getattr(layer, key) is value, key


def test_means_far_above_the_deviation():
    model = model_of(layers.BatchNormalization())
    (layer,) = recalibrate_statistics(model, batches(2e4), verbose=0)
    mean, variance = moments(batches(2e4))
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-4)


@pytest.mark.parametrize(
    "create", [keras.layers.BatchNormalization, layers.BatchNormalization]
)
def test_masked_positions_do_not_count(create):
    x = np.random.default_rng(1).normal(size=(6, 4, CHANNELS))
    mask = np.random.default_rng(2).random((6, 4)) < 0.5
    x[~mask] = -1.0
    inputs = keras.Input((4, CHANNELS))
    masked = keras.layers.Masking(-1.0)(inputs)
    model = keras.Model(inputs, create()(masked))
    (layer,) = recalibrate_statistics(model, [x[:4], x[4:]], verbose=0)
    want = x.astype("float32")[mask].astype("float64")
    np.testing.assert_allclose(layer.moving_mean, want.mean(0), atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, want.var(0), rtol=1e-5)


def test_later_layers_read_normalized_batches():
    """Dropout is that of inference, and batches are normalized themselves."""
    norms = [layers.BatchNormalization(), keras.layers.BatchNormalization()]
    model = model_of(norms[0])
    model.add(keras.layers.Dropout(0.9))
    model.add(norms[1])
    norms[0].gamma.assign(np.arange(CHANNELS) + 1.0)
    recalibrate_statistics(model, batches(), verbose=0)
    normalized = []
    for x in batches():
        rows = x.reshape(-1, CHANNELS).astype("float64")
        rows = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-3)
        normalized.append(rows * (np.arange(CHANNELS) + 1.0))
    mean, variance = moments(normalized)
    np.testing.assert_allclose(norms[1].moving_mean, mean, atol=1e-5)
    np.testing.assert_allclose(norms[1].moving_variance, variance, rtol=1e-5)


@pytest.mark.parametrize("form", ["array", "dataset", "pairs", "steps"])
def test_forms_of_datasets(form):
    data = batches()
    dataset, read = {
        "array": (np.concatenate(data), data),
        "dataset": (
            tf.data.Dataset.from_tensor_slices(np.concatenate(data)).batch(3),
            data,
        ),
        "pairs": (iter([(x, np.zeros(len(x))) for x in data]), data),
        "steps": (iter(data), data[:2]),
    }[form]
    model = model_of(layers.BatchNormalization())
    steps = 2 if form == "steps" else None
    (layer,) = recalibrate_statistics(model, dataset, steps, verbose=0)
    np.testing.assert_allclose(layer.moving_mean, moments(read)[0], rtol=1e-6)


def test_traced_predictions_follow():
    model = model_of(layers.BatchNormalization())
    x = batches()[0]
    before = model.predict(x, verbose=0)
    recalibrate_statistics(model, [x], verbose=0)
    after = model.predict(x, verbose=0)
    np.testing.assert_allclose(after.var(), 1.0, rtol=1e-2)
    assert np.abs(after - before).max() > 1.0


@pytest.mark.parametrize("create", LAYERS.values(), ids=LAYERS)
def test_refusals_leave_the_model_as_it_was(create):
    model = model_of(create())
    before = state(model)
    name = model.layers[-1].name
    infinite = batches()
    infinite[2][0, 0, 0, 1] = np.inf
    for data, steps, message in (
        ([], None, "0 batches, steps=None."),
        (batches(), 5, "4 batches, steps=5."),
    ):
        assert refusal(
            recalibrate_statistics, model, data, steps, verbose=0
        ) == (
            "The dataset must have a batch, and `steps` of them if `steps` is "
            f"given. Received: {message} Pass more data, or fewer steps."
        )
    assert refusal(recalibrate_statistics, model, infinite, verbose=0) == (
        "The inputs of each batch normalization must be finite. Received: "
        f"infinite or undefined inputs of {name!r}. Remove such examples."
    )
    for value, want in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(value, want)


def test_refusals():
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert refusal(recalibrate_statistics, dense, []) == (
        "The model must contain a batch normalization, which has running "
        f"statistics. Received: {dense.name!r}, which contains none. Pass "
        "the model that contains them."
    )
    unbuilt = keras.Sequential([layers.BatchNormalization()])
    assert refusal(recalibrate_statistics, unbuilt, []) == (
        "`model` must be a model of Keras that is built. Received: "
        f"{unbuilt.name!r}. Add an `Input`, or call the model once."
    )
