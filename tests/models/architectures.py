"""Models of every form that Keras has, with random weights."""

import keras
import numpy as np
from keras.layers import BatchNormalization
from keras.layers import Conv2D
from keras.layers import Dense
from keras.layers import GlobalAveragePooling2D
from keras.layers import ReLU

from keras_norms.models.traversal import layers_by_path

SHAPE = (8, 8, 3)
FEATURES = 8


def block(x, name):
    x = Conv2D(FEATURES, 3, padding="same", name=f"{name}_conv")(x)
    x = BatchNormalization(name=f"{name}_bn")(x)
    return ReLU(name=f"{name}_relu")(x)


def sequential():
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            Conv2D(FEATURES, 3),
            BatchNormalization(name="first"),
            ReLU(),
            GlobalAveragePooling2D(),
            BatchNormalization(name="second", scale=False, trainable=False),
            Dense(4),
        ]
    )


def residual():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "stem")
    x = x + block(x, "branch")
    return keras.Model(inputs, Dense(4)(GlobalAveragePooling2D()(x)))


def shared():
    """One normalization at three places, in two models."""
    norm = BatchNormalization(name="shared")
    inner_inputs = keras.Input((*SHAPE[:2], FEATURES))
    inner = keras.Model(inner_inputs, norm(inner_inputs), name="inner")
    inputs = keras.Input(SHAPE)
    x = norm(block(inputs, "stem"))
    return keras.Model(inputs, norm(inner(x)))


def nested():
    """Three levels, and one inner model that is called twice."""
    inputs = keras.Input((*SHAPE[:2], FEATURES))
    innermost = keras.Sequential(
        [keras.Input(inputs.shape[1:]), BatchNormalization(name="deep")],
        name="innermost",
    )
    middle = keras.Model(
        inputs, innermost(block(inputs, "mid")), name="middle"
    )
    outer = keras.Input(SHAPE)
    x = middle(block(outer, "stem"))
    return keras.Model(outer, middle(x))


def several_outputs():
    first, second = keras.Input(SHAPE, name="a"), keras.Input(SHAPE, name="b")
    x, y = block(first, "one"), block(second, "two")
    both = keras.layers.Concatenate()([x, y])
    outputs = {"sum": x + y, "both": BatchNormalization(name="joined")(both)}
    return keras.Model({"a": first, "b": second}, outputs)


def wrapped():
    inputs = keras.Input((2, *SHAPE))
    norm = keras.layers.TimeDistributed(BatchNormalization(name="inside"))
    return keras.Model(inputs, norm(inputs))


@keras.saving.register_keras_serializable(package="tests")
class Residual(keras.layers.Layer):
    """Holds a normalization, and others in a list."""

    def __init__(self, features=FEATURES, **kwargs):
        super().__init__(**kwargs)
        self.features = features
        self.norm = BatchNormalization(name="norm")
        self.others = [Conv2D(features, 1), BatchNormalization(name="other")]

    def call(self, x, training=None):
        y = self.norm(x, training=training)
        for layer in self.others:
            y = layer(y)
        return x + y

    def get_config(self):
        return {**super().get_config(), "features": self.features}


def composite():
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, Residual()(block(inputs, "stem")))


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = Conv2D(FEATURES, 3)
        self.norm = BatchNormalization(name="norm")
        self.block = Residual()

    def call(self, x, training=None):
        return self.block(self.norm(self.conv(x), training=training))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, *SHAPE), "float32"))
    return model


ARCHITECTURES = {
    create.__name__: create
    for create in (
        sequential,
        residual,
        shared,
        nested,
        several_outputs,
        wrapped,
        composite,
        subclassed,
    )
}


def create(name, seed=0):
    """A model whose weights and running statistics are random."""
    keras.utils.set_random_seed(seed)
    return randomize(ARCHITECTURES[name](), 0.0, 0.5, seed)


def randomize(model, mean, stddev, seed=0):
    """The model, with normal weights and positive variances."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        value = random.normal(mean, stddev, weight.shape)
        if "variance" in weight.name:
            value = np.exp(value)
        weight.assign(value)
    return model


def norms_of(model):
    """The normalization layers by path."""
    return {
        path: layer
        for path, layer in layers_by_path(model)
        if "Normalization" in type(layer).__name__
    }


def inputs_of(name, examples=5):
    random = np.random.default_rng(1)
    shape = (2, *SHAPE) if name == "wrapped" else SHAPE
    x = random.normal(size=(examples, *shape)).astype("float32")
    return {"a": x, "b": -x} if name == "several_outputs" else x


def outputs_of(model, x, **options):
    return [np.array(y) for y in keras.tree.flatten(model(x, **options))]


def assert_same_outputs(name, model, converted, **options):
    x = inputs_of(name)
    want = outputs_of(model, x, **options)
    have = outputs_of(converted, x, **options)
    for h, w in zip(have, want, strict=True):
        np.testing.assert_allclose(h, w, rtol=1e-5, atol=2e-5)
