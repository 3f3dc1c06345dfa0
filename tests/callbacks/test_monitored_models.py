"""`NormalizationMonitor` on models: what it writes, and what it leaves."""

import csv
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_norms import layers
from keras_norms.callbacks import NormalizationMonitor
from keras_norms.callbacks import NormalizationRecord
from tests.models.networks import SHAPE
from tests.models.networks import data
from tests.models.networks import many_norms


def compiled(model):
    model.compile("sgd", keras.losses.MeanSquaredError())
    return model


def fitted(model, callbacks=(), epochs=2):
    x, _ = data(16)
    y = np.zeros(model.compute_output_shape(x.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(
            x,
            y,
            epochs=epochs,
            batch_size=8,
            callbacks=list(callbacks),
            verbose=0,
        )


def test_training_does_not_change():
    states = []
    for monitors in (0, 1):
        keras.utils.set_random_seed(1)
        model = many_norms()
        model.add(keras.layers.Dropout(0.5))
        model.compile("adam", "mse", jit_compile=True)
        callbacks = [NormalizationMonitor(data()[0])] * monitors
        fitted(model, callbacks)
        states.append([weight.numpy() for weight in model.variables])
        assert not any("call" in vars(each) for each in model.layers)
    for have, want in zip(*states, strict=True):
        np.testing.assert_array_equal(have, want)


def test_outputs_are_written(tmp_path):
    paths = {
        "csv_path": tmp_path / "m.csv",
        "plot_path": tmp_path / "m.png",
        "log_dir": tmp_path / "log",
    }
    monitor = NormalizationMonitor(data()[0], frequency=2, **paths)
    model = compiled(many_norms())
    fitted(model, [monitor], epochs=3)
    epochs = [record.epoch for record in monitor.records]
    count = len(epochs) // 2
    assert epochs == [0] * count + [2] * count
    with open(paths["csv_path"], newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == NormalizationRecord._fields
    assert rows == [list(map(str, record)) for record in monitor.records]
    assert paths["plot_path"].read_bytes().startswith(b"\x89PNG")
    tags = {}
    for path in paths["log_dir"].iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                number = tf.make_ndarray(value.tensor)
                tags[value.tag, event.step] = float(number)
    for record in monitor.records:
        key = f"normalization_similarity/{record.path}", record.epoch
        assert tags[key] == np.float32(record.similarity)


def test_layers_of_nested_models_are_named_by_their_paths():
    inner = keras.Sequential(
        [keras.Input(SHAPE), layers.GroupNormalization(1, name="norm")],
        name="inner",
    )
    block = layers.ConditionalNormalization(
        layers.InstanceNormalization(name="norm"), name="conditional"
    )
    x, condition = keras.Input(SHAPE), keras.Input((2,))
    domain = keras.Input((), dtype="int32")
    y = block(inner(x), condition)
    y = layers.DomainSpecificBatchNormalization(2, name="domains")(y, domain)
    model = compiled(keras.Model([x, condition, domain], y))
    images, _ = data(8)
    batch = images, np.ones((8, 2)), np.arange(8) % 2
    monitor = NormalizationMonitor([(batch,)])
    model.fit(batch, 0 * images, callbacks=[monitor], verbose=0)
    assert [record.path for record in monitor.records] == [
        "inner/norm",
        "conditional/norm",
        "domains",
    ]
    assert np.isfinite(monitor.records[2][2:]).all()


def test_layers_inside_loops_are_measured_at_the_first_step():
    class Cell(keras.layers.SimpleRNNCell):
        def __init__(self, **kwargs):
            super().__init__(3, **kwargs)
            self.norm = layers.GroupNormalization(1, name="inside")

        def call(self, sequence, states, training=False):
            return super().call(self.norm(sequence), states)

    model = compiled(
        keras.Sequential(
            [
                keras.Input((5, 3)),
                layers.BatchNormalization(name="outside"),
                keras.layers.RNN(Cell()),
            ]
        )
    )
    x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
    monitor = NormalizationMonitor(tf.data.Dataset.from_tensors((x, x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, np.zeros((8, 3)), callbacks=[monitor], verbose=0)
    outside, inside = monitor.records
    assert (outside.path, inside.path) == ("outside", "rnn/cell/inside")
    y = model.layers[0](x, training=True)[:, 0].numpy()
    unit = y / np.linalg.norm(y, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(8, dtype=bool)]
    np.testing.assert_allclose(inside.similarity, cosines.mean(), atol=1e-4)


def test_subclassed_models_are_built_by_the_first_step():
    class Late(keras.Model):
        def build(self, input_shape):
            self.norm = layers.BatchNormalization(name="norm")
            self.norm.build(input_shape)

        def call(self, inputs):
            return self.norm(inputs)

    x, _ = data(8)
    monitor = NormalizationMonitor(x)
    compiled(Late()).fit(x, x, callbacks=[monitor], verbose=0)
    assert [record.path for record in monitor.records] == ["norm"]


def test_models_without_batch_norm_are_drawn(tmp_path):
    path = tmp_path / "m.png"
    model = compiled(
        keras.Sequential([keras.Input(SHAPE), layers.LayerNormalization()])
    )
    fitted(model, [NormalizationMonitor(data()[0], plot_path=path)])
    assert path.read_bytes().startswith(b"\x89PNG")


def test_small_batches_are_warned_of_once():
    def warned(examples):
        # Positions of an example are alike.
        brightness = np.linspace(-5, 5, examples).reshape(-1, 1, 1, 1)
        x = data(examples)[0] + brightness
        norm = layers.BatchNormalization(name="norm")
        group = layers.GroupNormalization(1)
        model = compiled(keras.Sequential([keras.Input(SHAPE), norm, group]))
        monitor = NormalizationMonitor(x, batch_size=examples)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(
                x,
                0 * x,
                epochs=2,
                batch_size=examples,
                callbacks=[monitor],
                verbose=0,
            )
        texts = [str(warning.message) for warning in caught]
        texts = [text for text in texts if "independent" in text]
        return texts, monitor.records[0].independent_values

    [text], count = warned(2)
    assert text == (
        "The batches are too small for the batch statistics of 1 of 1 "
        f"layers. Those of 'norm' rest on {count:.1f} independent values per "
        "channel, because the positions of an example are alike. With fewer "
        "than 16, the mean of a batch is off by more than a quarter of the "
        "standard deviation. Use larger batches, "
        "`CrossReplicaBatchNormalization`, or a layer that normalizes each "
        "example, such as `GroupNormalization`; see "
        "`keras_norms.models.convert_normalization`."
    )
    assert count < 16
    assert warned(64)[0] == []
