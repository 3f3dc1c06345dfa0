import keras

from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)


@keras.saving.register_keras_serializable(package="keras_norms")
class InstanceEnhancementBatchNormalization(BaseCalibratedBatchNormalization):
    """Batch norm with the scale calibrated by each example's means.

        y = activation(gamma[c] sigmoid(scale_weight[c] g[n, c]
                                        + scale_bias[c]) xhat + beta[c])

    with xhat that of batch norm and g the mean of channel c of the inputs over
    the positions of example n, in training and at inference. A new layer is
    `sigmoid(-1) = 0.269` times batch norm: scale_weight starts at 0,
    scale_bias at -1. Two weights a channel more.

    Arguments:
        axis: the channel axis; -1 is channels last, 1 channels first.
        momentum: of the running averages, see `BatchNormalization`.
        epsilon: added to the variance.
        **kwargs: `synchronized` and `inference_weight`, see
            `BatchNormalization`, and of every layer `center`, `scale`,
            `*_initializer` (also of `moving_mean` and `moving_variance`),
            `*_regularizer`, `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Masks and replicas: see `BatchNormalization`; g of an example with no True
        position is 0.
    Raises: ValueError as `BatchNormalization` does.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.InstanceEnhancementBatchNormalization(
    ...     epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)).round(3))
    [[-0.269 -0.269]
     [ 0.269  0.269]]

    Source: Liang et al., Instance Enhancement Batch Normalization, AAAI 2020
    (arXiv 1908.04008), section 3; epsilon and momentum are those of the
    authors' code.
    """

    gate_of = "inputs"

    def __init__(self, axis=-1, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )
