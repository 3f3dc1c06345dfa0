from typing import Any

import keras

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.spec import Algebra
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.ops import PooledAffine
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class GroupNormalization(BaseNormalization, keras.layers.GroupNormalization):
    """Group normalization: statistics of each example and group of channels.

    ```
    y = activation(gamma[c] (x - mean[n, g]) / sqrt(var[n, g] + epsilon)
                   + beta[c])
    ```

    The mean and the (biased) variance of example n are taken over all
    positions and over the channels of the group g of c.

    The layer is a superset of `keras.layers.GroupNormalization`, with the same
    arguments, defaults and weights.

    {{masking}}

    {{same_inference}}

    Args:
        groups: Integer, the number of groups, a divisor of the number of
            channels. `1` pools all channels, and `-1` pools none (instance
            normalization). Positions are always pooled.
            `keras.layers.LayerNormalization` does not pool positions, so use
            it for sequences in which no position may see later ones. Defaults
            to `32`.
        {{axis}}
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        {{parameter_args}}
        {{layer_kwargs}}

    {{call_sections}}

    Raises:
        ValueError: If `groups` is not -1 or a positive divisor of the number
            of channels.
        {{errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.GroupNormalization(groups=2, epsilon=0.0)
    >>> print(np.array(layer(np.array([[1.0, 3.0, 5.0, 9.0]]))))
    [[-1.  1. -1.  1.]]

    Reference:

    - Wu and He, Group Normalization, 2018,
      [arXiv 1803.08494](https://arxiv.org/abs/1803.08494), section 3. The
      paper's code has epsilon 1e-5.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Identifier = "zeros",
        gamma_initializer: Identifier = "ones",
        beta_regularizer: Identifier = None,
        gamma_regularizer: Identifier = None,
        beta_constraint: Identifier = None,
        gamma_constraint: Identifier = None,
        activation: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            axis=axis,
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            activation=activation,
            **kwargs,
        )
        self.groups = validation.groups(groups)

    def build(self, input_shape: Shape) -> None:
        channels = validation.channels(self.axis, input_shape)
        validation.groups_of(self.groups, channels)
        super().build(input_shape)

    @property
    def coefficients(self) -> Algebra:
        return PooledAffine(self.groups, self.epsilon)

    def get_config(self) -> Config:
        return {**super().get_config(), "groups": self.groups}
