import keras

from keras_norms import validation
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.ops import PooledAffine


@keras.saving.register_keras_serializable(package="keras_norms")
class GroupNormalization(BaseNormalization, keras.layers.GroupNormalization):
    """Group normalization: each example by itself, in groups of channels.

        y = activation(gamma[c] (x - mean[n, g]) / sqrt(var[n, g] + eps)
                       + beta[c])

    with the mean and the (biased) variance of example n over all positions
    and over the channels of the group g of c. The same in training and at
    inference, whatever the batch and the number of replicas.

    A superset of `keras.layers.GroupNormalization`: same arguments, defaults
    and weights.

    Arguments:
        groups: how many groups, a divisor of the number of channels. 1 pools
            all channels, -1 none (instance normalization). Positions are
            always pooled: `keras.layers.LayerNormalization` pools none, so
            for sequences whose future must not show, use that.
        **kwargs: of every layer: `axis`, `epsilon`, `center`, `scale`,
            `*_initializer`, `*_regularizer`, `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Mask: booleans over the leading axes of the inputs without their channel
        axis, or over all axes but the last, as `keras.layers.Masking` makes
        them. Masked positions are excluded from the statistics; an example
        with no True position gives zeros. The mask is passed on.
    Raises: ValueError for a `groups` that is not -1 or a positive divisor of
        the channels, inputs of rank 1, an axis out of bounds, channels of
        unknown number, a negative epsilon, a mask of another shape.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.GroupNormalization(groups=2, epsilon=0.0)
    >>> print(np.array(layer(np.array([[1.0, 3.0, 5.0, 9.0]]))))
    [[-1.  1. -1.  1.]]

    Source: Wu and He, Group Normalization, ECCV 2018 (arXiv 1803.08494),
    section 3. The paper's code has epsilon 1e-5.
    """

    def __init__(
        self,
        groups=32,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        activation=None,
        **kwargs,
    ):
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

    def build(self, input_shape):
        channels = validation.channels(self.axis, input_shape)
        validation.groups_of(self.groups, channels)
        super().build(input_shape)

    @property
    def coefficients(self):
        return PooledAffine(self.groups, self.epsilon)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
