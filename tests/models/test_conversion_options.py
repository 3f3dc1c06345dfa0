"""What is converted, what is refused, and what a converted model can do."""

import keras
import numpy as np
import pytest

from keras_norms import layers
from keras_norms.models import convert_normalization
from tests.models.architectures import ARCHITECTURES
from tests.models.architectures import FEATURES
from tests.models.architectures import assert_same_outputs
from tests.models.architectures import create
from tests.models.architectures import inputs_of
from tests.models.architectures import norms_of
from tests.support.refusals import refusal


def test_group_norms_of_both_packages():
    model = keras.Sequential(
        [
            keras.Input((4, FEATURES)),
            keras.layers.GroupNormalization(2),
            layers.InstanceNormalization(),
            layers.GroupNormalization(4),
        ]
    )
    for to in ("keras_norms", "keras"):
        converted = convert_normalization(model, to)
        x = np.random.default_rng(0).normal(size=(3, 4, FEATURES))
        np.testing.assert_allclose(
            model(x), converted(x), rtol=1e-5, atol=1e-6
        )
        modules = {type(layer).__module__[:11] for layer in converted.layers}
        assert modules == {"keras.src.l" if to == "keras" else "keras_norms"}


def test_activation_follows_a_layer_of_keras():
    model = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(activation="relu")]
    )
    converted = convert_normalization(model, "keras")
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(model(x), converted(x), rtol=1e-6)
    assert (np.array(converted(x)) == 0).any()


def test_some_layers():
    model = create("nested")
    cases = {
        "predicate": {
            "to": "GhostBatchNormalization",
            "predicate": lambda layer: layer.name == "deep",
            "ghost_batch_size": 4,
        },
        "path": {"to": {"middle/innermost/deep": "GhostBatchNormalization"}},
        "name": {"to": {"deep": layers.GhostBatchNormalization}},
        "function": {
            "to": lambda layer: (
                layers.GhostBatchNormalization
                if layer.name == "deep"
                else None
            )
        },
    }
    for name, arguments in cases.items():
        converted = convert_normalization(model, **arguments)
        assert_same_outputs("nested", model, converted)
        changed = {
            path: type(layer).__name__
            for path, layer in norms_of(converted).items()
            if not type(layer).__module__.startswith("keras.")
        }
        want = {"middle/innermost/deep": "GhostBatchNormalization"}
        assert changed == want, name
        (layer,) = (la for p, la in norms_of(converted).items() if p in want)
        assert layer.ghost_batch_size == (4 if name == "predicate" else 32)


# Keras restores a layer that two models share as two layers.
@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys() - {"shared"}))
def test_converted_model_trains_and_is_saved(name, tmp_path):
    converted = convert_normalization(create(name), "keras_norms")
    x = inputs_of(name)
    y = keras.tree.map_structure(np.zeros_like, converted(x))
    converted.compile("sgd", "mse")
    converted.fit(x, y, verbose=0)
    converted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(name, converted, loaded)


def test_compiled_mixed_precision_model():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = create("sequential")
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile("adam", "mse")
    converted = convert_normalization(model, "keras_norms")
    assert isinstance(converted.optimizer, keras.optimizers.Adam)
    assert converted.loss == "mse"
    for layer in norms_of(converted).values():
        assert layer.dtype_policy.name == "mixed_bfloat16"


def test_lost_class():
    @keras.saving.register_keras_serializable(package="tests")
    class Backbone(keras.Model):
        def __init__(self, features):
            inputs = keras.Input((features,))
            outputs = keras.layers.BatchNormalization()(inputs)
            super().__init__(inputs, outputs, name="backbone")

    with pytest.warns(UserWarning, match="backbone") as warned:
        converted = convert_normalization(Backbone(4), "keras_norms")
    messages = [str(w.message) for w in warned if w.category is UserWarning]
    assert messages[-1] == (
        "'backbone' is of the class Backbone, which Keras cannot create from "
        "other layers. Its copy is of the class Functional, with the same "
        "inputs, outputs and weights, and without the methods of Backbone."
    )
    assert isinstance(converted.layers[1], layers.BatchNormalization)


class CreatedLate(keras.layers.Layer):
    def build(self, shape):
        self.norm = keras.layers.BatchNormalization(name="late")
        self.norm.build(shape)

    def call(self, x):
        return self.norm(x)


class NotRestorable(keras.layers.Layer):
    def __init__(self, function):
        super().__init__(name="plain")

    def call(self, x):
        return x


def test_refusals():
    model = create("sequential")
    names = "', '".join(layers.__all__)
    message = (
        "`to` must be a layer class, 'keras_norms', 'keras', or one of "
        f"'{names}'. Received: to='groupnorm'."
    )
    assert refusal(convert_normalization, model, "groupnorm") == message
    assert refusal(
        convert_normalization, model, "GroupNormalization", groups=3
    ) == (
        "The number of channels (8) must be a multiple of the number of "
        'groups (3); Keras words the rule as "must be a multiple of the '
        'number of channels". Received: groups=3. Use a divisor of 8, or -1 '
        "for one group per channel."
    )
    unbuilt = keras.Sequential([keras.layers.BatchNormalization()])
    assert refusal(convert_normalization, unbuilt, "keras_norms") == (
        "`model` must be a model of Keras that is built. Received: "
        f"{unbuilt.name!r}. Add an `Input`, or call the model once."
    )
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert refusal(convert_normalization, dense, "keras_norms") == (
        "The model must have a normalization layer that can be converted. "
        f"Received: model={dense.name!r}, to='keras_norms', and no such "
        "layer. Batch normalizations become batch or group normalizations, "
        "and other layers become the same kind of another package."
    )
    late = keras.Sequential([keras.Input((2,)), CreatedLate()])
    assert refusal(convert_normalization, late, "keras_norms") == (
        "A layer that is replaced must be an attribute, from the constructor "
        "on, of the layer that contains it. Received: 'late', which is "
        "created later. Create it in `__init__`, or exclude it with "
        "`predicate`."
    )
    plain = keras.Sequential(
        [
            keras.Input((2,)),
            NotRestorable(print),
            keras.layers.BatchNormalization(),
        ]
    )
    assert refusal(convert_normalization, plain, "keras_norms") == (
        "A layer must have a `get_config` from which `from_config` restores "
        "it, so that the model can be copied. Received: 'plain' of the class "
        "NotRestorable. Implement `get_config`."
    )
