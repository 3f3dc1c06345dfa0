"""Small models and data for the tests of functions on models."""

import keras
import numpy as np

from keras_norms import layers

SHAPE = (6, 6, 3)


def classifier(nested=False, seed=0):
    """A briefly trained classifier of images with different brightness."""
    keras.utils.set_random_seed(seed)
    body = [
        keras.layers.Conv2D(8, 3, use_bias=False),
        layers.BatchNormalization(activation="relu", momentum=0.8),
        layers.DynamicNormalization(momentum=0.8),
        keras.layers.GlobalAveragePooling2D(),
    ]
    if nested:
        inner = [keras.Input(SHAPE), *body]
        body = [keras.layers.TimeDistributed(keras.Sequential(inner))]
        shape = (2, *SHAPE)
    else:
        shape = SHAPE
    head = [keras.layers.Flatten(), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input(shape), *body, *head])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    x, y = data(shape=shape)
    model.fit(x, y, epochs=2, verbose=0)
    return model


def data(count=100, shape=SHAPE, seed=1):
    random = np.random.default_rng(seed)
    y = random.integers(0, 4, count)
    x = random.normal(size=(count, *shape)) * random.uniform(
        0.5, 3, (count, *[1] * len(shape))
    )
    x[..., 0] += y.reshape(-1, *[1] * (len(shape) - 1)) / 2
    return x.astype("float32"), y


def running_layers(model):
    return [
        layer
        for layer in model._flatten_layers()
        if hasattr(layer, "inference_weight")
    ]


def many_norms():
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(4, 3),
            layers.BatchInstanceNormalization(name="mixed"),
            layers.DynamicNormalization(name="dynamic"),
            keras.layers.BatchNormalization(name="theirs"),
            layers.RepresentativeBatchNormalization(name="calibrated"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )


def with_norm(*layers_after, **arguments):
    norm = layers.BatchNormalization(**arguments)
    return keras.Sequential([keras.Input((4,)), norm, *layers_after])
