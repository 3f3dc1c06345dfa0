"""Small models for tests with several replicas."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_norms import layers
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS

SHAPE = (8, CHANNELS)


def model_with(norm):
    """A compiled model with a norm, which is a function of a tensor."""
    inputs = keras.Input(SHAPE)
    # TensorFlow gives a convolution of an empty batch a wrong shape.
    x = keras.layers.Dense(CHANNELS, name="projection")(inputs)
    x = keras.layers.ReLU()(norm(x))
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    return model


def data(examples, mean=2.0):
    """Inputs and targets."""
    random = np.random.default_rng(0)
    x = random.normal(mean, 3, (examples, *SHAPE)).astype("float32")
    return x, random.normal(size=(examples, 3)).astype("float32")


def batches(x, y, size):
    """A data set of equal batches."""
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    return dataset.batch(size, drop_remainder=True)


def every_norm():
    """All public norms by name, as functions of x, each with new weights."""
    norms = {d.id: lambda x, d=d: d.create()(x) for d in DESCRIPTORS}

    def conditional(x):
        norm = layers.ConditionalNormalization(layers.BatchNormalization())
        return norm(x, ops.mean(x, axis=1))

    def of_domains(x):
        norm = layers.DomainSpecificBatchNormalization(2)
        return norm(x, ops.cast(x[:, 0, 0] > 2, "int32"))

    return {
        **norms,
        "LayerNormalization": lambda x: layers.LayerNormalization()(x),
        "ConditionalNormalization": conditional,
        "DomainSpecificBatchNormalization": of_domains,
    }


def synchronized_norms():
    """The synchronized layers, by name."""
    return {
        d.id: d.create
        for d in DESCRIPTORS
        if d.arguments.get("synchronized") or d.name.startswith("CrossReplica")
    }
