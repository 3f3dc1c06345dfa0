"""Configurations, files and copies of every described layer."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS

every_layer = pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
X = np.random.default_rng(0).normal(size=(5, 4, 4, CHANNELS)).astype("float32")


def model(descriptor):
    """A trained functional model, so that no weight has its initial value."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, CHANNELS))
    outputs = keras.layers.Dense(1)(descriptor.create()(inputs))
    result = keras.Model(inputs, outputs)
    result.compile("sgd", "mse")
    result.fit(X, np.zeros((5, 4, 4, 1)), epochs=2, verbose=0)
    return result


@every_layer
def test_config(descriptor):
    layer = descriptor.create()
    config = layer.get_config()
    layer.build((None, 4, 4, CHANNELS))
    assert layer.get_config() == config
    assert config == json.loads(json.dumps(config))
    for name, value in descriptor.arguments.items():
        assert config[name] == value
    restored = type(layer).from_config(config)
    assert restored.get_config() == config
    restored.build((None, 4, 4, CHANNELS))


@every_layer
def test_keras_files_weights_and_clones(descriptor, tmp_path):
    original = model(descriptor)
    expected = original.predict(X, verbose=0)
    original.save(tmp_path / "model.keras")
    original.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(original)
    empty_clone = keras.models.clone_model(original)
    empty_clone.load_weights(tmp_path / "model.weights.h5")
    clone.set_weights(original.get_weights())
    for copy in (loaded, clone, empty_clone):
        np.testing.assert_array_equal(copy.predict(X, verbose=0), expected)
    checkpoint = tf.train.Checkpoint(original).save(tmp_path / "checkpoint")
    restored = keras.models.clone_model(original)
    tf.train.Checkpoint(restored).restore(checkpoint).expect_partial()
    np.testing.assert_array_equal(restored.predict(X, verbose=0), expected)


def test_saved_models_load_without_keras_norms(tmp_path):
    """One process loads all layers, because a process takes seconds."""
    np.save(tmp_path / "x.npy", X)
    for index, descriptor in enumerate(DESCRIPTORS):
        original = model(descriptor)
        expected = original.predict(X, verbose=0)
        np.save(tmp_path / f"{index}.npy", expected)
        original.export(tmp_path / f"export{index}", verbose=False)
        tf.saved_model.save(original, tmp_path / f"saved{index}")
    script = """
import sys, numpy as np, tensorflow as tf
folder, count = sys.argv[1], int(sys.argv[2])
x = np.load(folder + "/x.npy")
for index in range(count):
    expected = np.load(f"{folder}/{index}.npy")
    exported = tf.saved_model.load(f"{folder}/export{index}")
    saved = tf.saved_model.load(f"{folder}/saved{index}")
    default = saved.signatures["serving_default"]
    name = list(default.structured_input_signature[1])[0]
    y, = default(**{name: tf.constant(x)}).values()
    np.testing.assert_allclose(exported.serve(x), expected, atol=1e-6)
    np.testing.assert_allclose(y, expected, atol=1e-6)
assert "keras_norms" not in sys.modules
"""
    subprocess.run(
        [sys.executable, "-c", script, tmp_path, str(len(DESCRIPTORS))],
        check=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("BatchNormalization", {}),
        ("BatchNormalization", {"renorm": True}),
        ("GroupNormalization", {"groups": 3}),
    ],
)
def test_keras_weight_files_load_by_class_name(name, arguments, tmp_path):
    import keras_norms

    def make(module):
        inputs = keras.Input((4, 4, CHANNELS))
        layer = getattr(module, name)(**arguments)
        return keras.Model(inputs, layer(inputs))

    theirs, ours = make(keras.layers), make(keras_norms.layers)
    rng = np.random.default_rng(0)
    theirs.set_weights([rng.random(w.shape) for w in theirs.get_weights()])
    theirs.save_weights(tmp_path / "keras.weights.h5")
    ours.load_weights(tmp_path / "keras.weights.h5")
    np.testing.assert_allclose(
        ours.predict(X, verbose=0), theirs.predict(X, verbose=0), atol=1e-5
    )


@pytest.mark.parametrize("name", ["BatchNormalization", "GroupNormalization"])
def test_arguments_and_defaults_of_keras(name):
    import inspect

    import keras_norms

    theirs = inspect.signature(getattr(keras.layers, name)).parameters
    ours = inspect.signature(getattr(keras_norms.layers, name)).parameters
    assert set(theirs) <= set(ours)
    for argument, parameter in theirs.items():
        assert ours[argument].default == parameter.default, argument
