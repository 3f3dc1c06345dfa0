"""The data that `NormalizationMonitor` accepts, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms.callbacks import NormalizationMonitor
from tests.models.networks import SHAPE
from tests.models.networks import data
from tests.support.refusals import refusal


@pytest.mark.parametrize("kind", ["list", "dict", "with y", "dataset"])
def test_data_are_those_of_fit(kind):
    inputs = {name: keras.Input((4,), name=name) for name in ("a", "b")}
    h = keras.layers.Concatenate()(list(inputs.values()))
    norm = layers.BatchNormalization(name="norm")
    if kind == "list":
        inputs = list(inputs.values())
    model = keras.Model(inputs, norm(h))
    model.compile("sgd", "mse")
    a, b = np.random.default_rng(0).normal(size=(2, 40, 4)).astype("float32")
    x = [a, b] if kind == "list" else {"a": a, "b": b}
    y = np.zeros((40, 8))
    data = (x, y) if kind == "with y" else x
    if kind == "dataset":
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    monitor = NormalizationMonitor(data, batch_size=20)
    model.fit(x, y, batch_size=20, callbacks=[monitor], verbose=0)
    [record] = monitor.records
    np.testing.assert_allclose(record.independent_values, 20, rtol=1e-3)


def test_bad_arguments_are_refused():
    x, _ = data(4)
    assert refusal(NormalizationMonitor, x, frequency=0) == (
        "`frequency` must be a positive integer. Received: frequency=0. Use "
        "1 or more."
    )
    assert refusal(NormalizationMonitor, x, batch_size=0) == (
        "`batch_size` must be a positive integer. Received: batch_size=0. "
        "Use 1 or more."
    )
    for data_without in ([], x[:0], "images", None, {}, [1.0, 2.0]):
        assert refusal(NormalizationMonitor, data_without) == (
            "`data` must be arrays, or an iterable of batches, with an "
            f"example. Received: {type(data_without).__name__} without one. "
            "Pass inputs as `fit` takes them."
        )
    layer_without = keras.layers.Dense(1)
    model = keras.Sequential([keras.Input(SHAPE), layer_without], name="empty")
    monitor = NormalizationMonitor(x)
    monitor.set_model(model)
    assert refusal(monitor.on_train_begin) == (
        "The model must contain a normalization layer. Received: 'empty', "
        "which contains none. Remove the callback."
    )


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError) as error:
        NormalizationMonitor(data(4)[0], plot_path="figure.png")
    assert str(error.value) == (
        "`plot_path` needs matplotlib. Received: `plot_path` without the "
        "package. Run `pip install matplotlib`, or omit the argument."
    )
