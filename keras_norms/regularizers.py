"""Penalties on the parameters of normalizations."""

import keras
from keras import ops

from keras_norms import validation


@keras.saving.register_keras_serializable(package="keras_norms")
class PullToOne(keras.regularizers.Regularizer):
    """Weight decay of gamma towards 1, where a normalization starts.

        penalty = weight_decay / 2 sum over c of (gamma[c] - 1)**2

    so that its gradient is `weight_decay (gamma - 1)`. Towards 0 or towards 1
    made no difference in the paper (p = 0.46).

    Arguments:
        weight_decay: the rate, 0 or more.

    Raises: ValueError for another rate.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> pull = keras_norms.regularizers.PullToOne(0.1)
    >>> layer = keras_norms.layers.BatchNormalization(gamma_regularizer=pull)
    >>> print(round(float(pull(np.array([1.0, 3.0]))), 6))
    0.2

    Source: Summers and Dinneen, Four Things Everyone Should Know to Improve
    Batch Normalization, ICLR 2020 (arXiv 1906.03548), section on weight decay.
    """

    def __init__(self, weight_decay=1e-4):
        self.weight_decay = validation.not_negative(
            "weight_decay", weight_decay
        )

    def __call__(self, x):
        return 0.5 * self.weight_decay * ops.sum(ops.square(x - 1.0))

    def get_config(self):
        return {"weight_decay": self.weight_decay}
