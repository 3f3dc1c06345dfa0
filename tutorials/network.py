"""A small residual network in which the normalization is an argument."""

import keras
from keras import layers


def residual_network(shape, classes, normalization, width=32, blocks=3):
    """A stem, then blocks, each of half the height and width.

    `normalization` makes a layer from keyword arguments: `activation` has the
    layer apply it in the same pass.
    """

    def convolution(x, strides=1):
        # The shift of the normalization that follows makes a bias useless.
        return layers.Conv2D(
            width,
            3,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
        )(x)

    inputs = keras.Input(shape)
    x = normalization(activation="relu")(convolution(inputs))
    for _ in range(blocks):
        y = normalization(activation="relu")(convolution(x, strides=2))
        y = normalization()(convolution(y))
        x = layers.AveragePooling2D(2, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))
