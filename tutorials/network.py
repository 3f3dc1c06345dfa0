"""A small residual network in which the normalization is an argument."""

import keras
from keras import layers


def residual_network(shape, classes, normalization, widths=(16, 32, 32)):
    """A stem, then blocks, each of half the height and width.

    `normalization` makes a layer from keyword arguments: `activation` has the
    layer apply it in the same pass.
    """

    def convolution(x, width, strides=1, size=3):
        # The shift of the normalization that follows makes a bias useless.
        return layers.Conv2D(
            width,
            size,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
        )(x)

    inputs = keras.Input(shape)
    x = convolution(inputs, widths[0])
    x = normalization(activation="relu")(x)
    for width in widths:
        y = convolution(x, width, strides=2)
        y = normalization(activation="relu")(y)
        y = convolution(y, width)
        y = normalization()(y)
        x = convolution(x, width, strides=2, size=1)
        x = normalization()(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))
