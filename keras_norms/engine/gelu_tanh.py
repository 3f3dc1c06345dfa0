"""The tanh approximation of GELU, as a named activation."""

import keras

from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU, as a named activation.

    ```
    x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3)))
    ```

    Keras has the approximation as an argument of `gelu` only, which an
    `activation` argument cannot set. A normalization layer computes this
    activation in the same pass.

    Args:
        x: Tensor.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:

    >>> import keras_norms
    >>> layer = keras_norms.layers.GroupNormalization(
    ...     groups=2, activation=keras_norms.ops.gelu_tanh)

    Reference:

    - Hendrycks and Gimpel, Gaussian Error Linear Units, 2016,
      [arXiv 1606.08415](https://arxiv.org/abs/1606.08415), section 2.
    """
    return keras.activations.gelu(x, approximate=True)
