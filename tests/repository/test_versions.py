"""Tests that run with every supported version, see the Makefile.

Every layer is built, trained for a step, saved and loaded, and models of every
form are converted. No fixture of conftest.py is
used, since the stage runs without it.
"""

import keras
import numpy as np
import pytest

from keras_norms import layers
from keras_norms import models
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import public_layers
from tests.models.architectures import ARCHITECTURES
from tests.models.architectures import create
from tests.models.architectures import inputs_of
from tests.models.architectures import outputs_of

COMPANIONS = {
    "LayerNormalization": lambda: layers.LayerNormalization([1, -1]),
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


@pytest.mark.parametrize("name", [*public_layers(), "LayerNormalization"])
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


def test_layers_with_two_inputs_train_and_are_saved(tmp_path):
    x, condition = keras.Input(X.shape[1:]), keras.Input((3,))
    domain = keras.Input((), dtype="int32")
    y = layers.ConditionalNormalization("layer")(x, condition)
    y = layers.DomainSpecificBatchNormalization(2)(y, domain)
    model = keras.Model([x, condition, domain], y)
    model.compile("sgd", "mse", jit_compile=False)
    batch = [X, np.ones((4, 3)), np.arange(4) % 2]
    before = model.get_weights()
    model.fit(batch, 2 * X, batch_size=4, verbose=0)
    after = model.get_weights()
    assert all((b != a).any() for b, a in zip(before, after, strict=True))
    want = model.predict(batch, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(batch, verbose=0), want)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("to", ["keras_norms", "UnifiedBatchNormalization"])
def test_converted_models_have_the_same_outputs(name, to):
    model = create(name)
    converted = models.convert_normalization(model, to)
    x = inputs_of(name)
    for have, want in zip(
        outputs_of(converted, x), outputs_of(model, x), strict=True
    ):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=2e-5)


def test_folded_model_has_the_same_outputs():
    model = create("nested")
    folded = models.fold_batch_normalization(model)
    x = inputs_of("nested")
    for have, want in zip(
        outputs_of(folded, x), outputs_of(model, x), strict=True
    ):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)
