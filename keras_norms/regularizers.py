"""Penalties on the parameters of normalizations."""

import keras
from keras import ops

from keras_norms import validation
from keras_norms.types import Config
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
class PullToOne(keras.regularizers.Regularizer):
    """Weight decay of gamma towards 1, where a normalization starts.

    ```
    penalty = weight_decay / 2 sum over c of (gamma[c] - 1)**2
    ```

    The gradient of the penalty is `weight_decay (gamma - 1)`. Decay towards 0
    and decay towards 1 made no difference in the paper. (Its p value, 0.46, is
    recalled and was not read again.)

    Args:
        weight_decay: Float of 0 or more, the rate. Defaults to `1e-4`.

    Raises:
        ValueError: If `weight_decay` is negative or not finite.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> pull = keras_norms.regularizers.PullToOne(0.1)
    >>> layer = keras_norms.layers.BatchNormalization(gamma_regularizer=pull)
    >>> print(round(float(pull(np.array([1.0, 3.0]))), 6))
    0.2

    Reference:

    - Summers and Dinneen, Four Things Everyone Should Know to Improve Batch
      Normalization, 2020, [arXiv 1906.03548](https://arxiv.org/abs/1906.03548),
      section on weight decay.
    """

    def __init__(self, weight_decay: float = 1e-4) -> None:
        self.weight_decay = validation.not_negative(
            "weight_decay", weight_decay
        )

    def __call__(self, x: Tensor) -> Tensor:
        return 0.5 * self.weight_decay * ops.sum(ops.square(x - 1.0))

    def get_config(self) -> Config:
        return {"weight_decay": self.weight_decay}
