"""Tests that run with every supported version, see the Makefile.

Every layer is built, trained for a step, saved and loaded; the README's
snippet changes the layers of a nested model. No fixture of conftest.py is
used, since the stage runs without it.
"""

import keras
import numpy as np
import pytest

from keras_norms import layers
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import public_layers
from tests.support.pages import blocks
from tests.support.pages import run

COMPANIONS = {
    "EnhancedAffine": layers.EnhancedAffine,
    "ThresholdedLinearUnit": layers.ThresholdedLinearUnit,
    "WeightStandardization": lambda: layers.WeightStandardization(
        keras.layers.Conv2D(CHANNELS, 3)
    ),
}
X = np.random.default_rng(0).normal(size=(4, 5, 5, CHANNELS))


def created(name):
    """The layer with the arguments of each of its descriptors."""
    described = [d.create() for d in DESCRIPTORS if d.name == name]
    return described or [COMPANIONS[name]()]


@pytest.mark.parametrize("name", public_layers())
def test_layer_trains_and_is_saved(name, tmp_path):
    inputs = keras.Input(X.shape[1:])
    outputs = [layer(inputs) for layer in created(name)]
    outputs = [keras.layers.GlobalAveragePooling2D()(y) for y in outputs]
    model = keras.Model(inputs, keras.layers.Dense(1)(sum(outputs)))
    model.compile("sgd", "mse", jit_compile=False)
    before = model.get_weights()
    model.fit(X, np.ones((4, 1)), batch_size=4, verbose=0)
    after = model.get_weights()
    assert any((b != a).any() for b, a in zip(before, after, strict=True))
    assert all(np.isfinite(a).all() for a in after)
    want = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), want)


def test_readme_snippet_converts_nested_models():
    source = "\n".join(blocks("README.md"))
    convert_layer = run(source, "readme")["convert_layer"]
    shape = (4, 4, CHANNELS)
    inner = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.BatchNormalization(name="inner_norm"),
        ],
        name="inner",
    )
    inputs = keras.Input(shape)
    x = keras.layers.GroupNormalization(2, name="middle_norm")(inputs)
    middle = keras.Model(inputs, inner(x), name="middle")
    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(CHANNELS, 3, padding="same")(inputs)
    x = keras.layers.BatchNormalization(name="outer_norm")(middle(x))
    model = keras.Model(inputs, x, name="outer")
    random = np.random.default_rng(0)
    model.set_weights([random.random(w.shape) for w in model.get_weights()])
    converted = keras.models.clone_model(model, clone_function=convert_layer)
    norms = [
        layer
        for layer in converted._flatten_layers()
        if layer.name.endswith("_norm")
    ]
    assert {type(layer) for layer in norms} == {
        layers.BatchNormalization,
        layers.GroupNormalization,
    }
    assert all(type(n).__module__.startswith("keras_norms") for n in norms)
    assert len(norms) == 3
    assert [w.path for w in converted.weights] == [
        w.path for w in model.weights
    ]
    converted.set_weights(model.get_weights())
    x = random.normal(size=(2, *shape))
    want = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        converted.predict(x, verbose=0), want, atol=1e-5
    )
