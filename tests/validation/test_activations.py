"""What is no activation, or cannot be saved as one, is refused at once."""

import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms
from keras_norms import layers
from tests.support.refusals import refusal
from tests.validation.layer_classes import ALL

CALL = (
    "`{name}` must take one tensor and return a tensor of the same shape. "
    "Received: {name}={value!r}, which {problem}. Use the name of an "
    'activation of Keras such as "relu", a registered function or an instance '
    "of a layer such as `keras.layers.ReLU()`."
)
SAVE = (
    "Keras must be able to load `{name}` from a saved model. Received: "
    "{name}={value!r}, which Keras cannot load. Define a function with "
    "`def`, or a class with `get_config` and `from_config`, and decorate it "
    "with `@keras.saving.register_keras_serializable()`."
)
A_CLASS = "is a class and not an instance of it"


def twice(x):
    return 2.0 * x


def relu(x):
    """Not Keras's, whose name it has."""
    return 2.0 * x


@keras.saving.register_keras_serializable(package="tests")
def registered(x):
    return 2.0 * x


@keras.saving.register_keras_serializable(package="tests")
def sums(x):
    return keras.ops.sum(x, axis=-1)


@keras.saving.register_keras_serializable(package="tests")
def holds_a_tensor(x):
    return x * TWO


TWO = tf.constant(2.0)


class Unregistered:
    def __call__(self, x):
        return x

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable(package="tests")
class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x

    def get_config(self):
        return {"factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


NO_CALL = [
    (int, A_CLASS),
    (keras.layers.ReLU, A_CLASS),
    (len, "returns an object of type int"),
    ("reluu", "is not an activation"),
    (3, "is not an activation"),
    ("threshold", "raises TypeError"),
    (keras.initializers.Zeros(), "raises InvalidArgumentError"),
    (keras.regularizers.L2(), "returns shape () for shape (2, 3)"),
    (sums, "returns shape (2,) for shape (2, 3)"),
    (keras.layers.Dense(4), "returns shape (2, 4) for shape (2, 3)"),
]
NO_SAVE = [
    lambda x: 2.0 * x,
    twice,
    relu,
    functools.partial(keras.activations.relu, max_value=6),
    tf.function(twice),
    tf.nn.softmax,  # Its name there is softmax_v2.
    Unregistered(),
    keras.layers.Lambda(lambda x: 2.0 * x),
]
ACTIVATIONS = [
    None,
    "relu",
    keras.activations.silu,
    tf.nn.relu6,
    keras.ops.tanh,
    keras_norms.ops.gelu_tanh,
    registered,
    holds_a_tensor,
    Scaled(3.0),
    keras.layers.ReLU(),
    keras.layers.LeakyReLU(0.1),
    keras.layers.PReLU(),
]
ARGUMENTS = [(kind, "activation") for kind in ALL] + [
    (layers.DynamicNormalization, "hidden_activation"),
    (layers.DynamicNormalization, "output_activation"),
]
every_argument = pytest.mark.parametrize(("kind", "name"), ARGUMENTS)


@every_argument
def test_what_is_no_activation(kind, name):
    for value, problem in NO_CALL:
        message = CALL.format(name=name, value=value, problem=problem)
        assert refusal(kind, **{name: value}) == message


@every_argument
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_saved(kind, name):
    for value in NO_SAVE:
        message = SAVE.format(name=name, value=value)
        assert refusal(kind, **{name: value}) == message


@every_argument
def test_what_is_an_activation_is_kept(kind, name):
    for value in ACTIVATIONS:
        layer = kind(**{name: value})
        assert (
            value is None
            or isinstance(value, str)
            or (getattr(layer, name) is value)
        )
        config = layer.get_config()
        restored = kind.from_config(dict(config))
        assert restored.get_config() == config


def test_a_layer_with_weights_is_not_built():
    value = keras.layers.PReLU()
    layers.GroupNormalization(activation=value)
    assert not value.built


def test_a_custom_object_is_found_in_its_scope(tmp_path):
    with keras.saving.custom_object_scope({"twice": twice}):
        layer = layers.GroupNormalization(1, activation=twice)
    model = keras.Sequential([keras.Input((3,)), layer])
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"twice": twice}
    )
    assert loaded.layers[0].activation is twice
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("value", [registered, holds_a_tensor, "gelu"])
def test_a_layer_may_be_made_within_a_function_or_a_strategy(value, strategy):
    @tf.function
    def build_and_call(x):
        layer = layers.GroupNormalization(
            1, center=False, scale=False, activation=value
        )
        count = len(tf.compat.v1.get_default_graph().get_operations())
        assert count == 1, "only the placeholder of x"
        return layer(x)

    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    with strategy.scope():
        layer = layers.GroupNormalization(1, activation=value)
    np.testing.assert_allclose(
        build_and_call(tf.constant(x)), layer(x), atol=1e-6
    )


def test_devices_can_be_configured_after_a_layer_is_made():
    script = """
import keras, tensorflow as tf
from keras_norms import layers
@keras.saving.register_keras_serializable()
def twice(x):
    return 2.0 * x
for value in ("gelu", tf.nn.relu6, twice, keras.layers.ReLU()):
    layers.GroupNormalization(activation=value)
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
