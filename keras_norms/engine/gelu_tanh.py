"""An activation that Keras has as an argument of another only."""

import keras


@keras.saving.register_keras_serializable(package="keras_norms")
def gelu_tanh(x):
    """GELU by its approximation with tanh, as an activation that fuses.

        x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3)))

    Arguments:
        x: a tensor.

    Returns: a tensor like it.

    Example:

    >>> import keras_norms
    >>> layer = keras_norms.layers.GroupNormalization(
    ...     groups=2, activation=keras_norms.ops.gelu_tanh)

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016 (arXiv
    1606.08415), section 2.
    """
    return keras.activations.gelu(x, approximate=True)
