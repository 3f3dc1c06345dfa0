import keras

from keras_norms import validation
from keras_norms.layers.base_normalization import BaseNormalization


@keras.saving.register_keras_serializable(package="keras_norms")
class InstanceNormalization(
    BaseNormalization, keras.layers.GroupNormalization
):
    """Instance normalization: each channel of each example by itself.

        y = activation(gamma[c] (x - mean[n, c]) / sqrt(var[n, c] + eps)
                       + beta[c])

    with the mean and the (biased) variance of channel c of example n over its
    positions. The same in training and at inference, whatever the batch and
    the number of replicas. Group normalization with a group a channel.

    Arguments:
        axis: the channel axis; -1 is channels last, 1 channels first.
        epsilon: added to the variance; the default is that of
            `keras.layers.GroupNormalization(groups=-1)`.
        **kwargs: of every layer: `center`, `scale`, `*_initializer`,
            `*_regularizer`, `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype; without positions (rank 2) nothing is left but beta.
        Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Mask: booleans over the leading axes of the inputs without their channel
        axis, or over all axes but the last, as `keras.layers.Masking` makes
        them. Masked positions are excluded from the statistics; an example
        with no True position gives zeros. The mask is passed on.
    Raises: ValueError for inputs of rank 1, an axis out of bounds, channels
        of unknown number, a negative epsilon, a mask of another shape.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.InstanceNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0, 10.0], [3.0, 50.0]]])
    >>> print(np.array(layer(x)))
    [[[-1. -1.]
      [ 1.  1.]]]

    Source: Ulyanov, Vedaldi and Lempitsky, Instance Normalization, 2016
    (arXiv 1607.08022), section 3. The paper's code has epsilon 1e-5.
    """

    def __init__(self, axis=-1, epsilon=1e-3, **kwargs):
        validation.contrib_instance(axis)
        self._groups = kwargs.pop("groups", None)
        super().__init__(axis=axis, epsilon=epsilon, **kwargs)

    def build(self, input_shape):
        channels = validation.channels(self.axis, input_shape)
        validation.addons_instance(self._groups, channels)
        super().build(input_shape)
