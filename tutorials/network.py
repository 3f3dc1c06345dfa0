"""A small residual network in which the normalization is an argument."""

import keras
from keras import layers


def convolution(x, width, strides=1):
    """3 by 3 without a bias, because the next normalization has one."""
    return layers.Conv2D(
        width,
        3,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)


def residual_network(shape, classes, normalization, width=32, blocks=3):
    """A stem, then blocks that halve the height and width.

    `normalization` creates a layer from keyword arguments. The layer applies
    `activation` in the same pass.
    """
    inputs = keras.Input(shape)
    x = normalization(activation="relu")(convolution(inputs, width))
    for _ in range(blocks):
        y = normalization(activation="relu")(convolution(x, width, strides=2))
        y = normalization()(convolution(y, width))
        x = layers.AveragePooling2D(2, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))
