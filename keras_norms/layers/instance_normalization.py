from typing import Any

import keras

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.types import Shape


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class InstanceNormalization(
    BaseNormalization, keras.layers.GroupNormalization
):
    """Instance normalization: statistics of each channel of each example.

    ```
    y = activation(gamma[c] (x - mean[n, c]) / sqrt(var[n, c] + epsilon)
                   + beta[c])
    ```

    The mean and the (biased) variance of channel c of example n are taken over
    its positions. The layer is group normalization with one channel per group.
    Inputs of rank 2 have one position per example, so only beta is left.

    {{masking}}

    {{same_inference}}

    Args:
        {{axis}}
        epsilon: Float that is added to the variance. The default is that of
            `keras.layers.GroupNormalization(groups=-1)`. Defaults to `1e-3`.
        {{parameter_args}}
        {{layer_kwargs}}
            `groups`, which configurations of TensorFlow Addons hold, may be
            -1 or the number of channels.

    {{call_sections}}

    Raises:
        ValueError: If `axis` is `None`, with which keras-contrib normalizes
            each example as one group, or if `groups` is passed with a value
            other than -1 or the number of channels.
        {{errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.InstanceNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0, 10.0], [3.0, 50.0]]])
    >>> print(np.array(layer(x)))
    [[[-1. -1.]
      [ 1.  1.]]]

    Reference:

    - Ulyanov, Vedaldi and Lempitsky, Instance Normalization, 2016,
      [arXiv 1607.08022](https://arxiv.org/abs/1607.08022), section 3. The
      paper's code has epsilon 1e-5.
    """

    def __init__(
        self, axis: int = -1, epsilon: float = 1e-3, **kwargs: Any
    ) -> None:
        validation.contrib_instance(axis)
        self._groups = kwargs.pop("groups", None)
        super().__init__(axis=axis, epsilon=epsilon, **kwargs)

    def build(self, input_shape: Shape) -> None:
        channels = validation.channels(self.axis, input_shape)
        validation.addons_instance(self._groups, channels)
        super().build(input_shape)
