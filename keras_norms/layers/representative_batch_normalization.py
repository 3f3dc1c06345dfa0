import keras

from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)


@keras.saving.register_keras_serializable(package="keras_norms")
class RepresentativeBatchNormalization(BaseCalibratedBatchNormalization):
    """Batch norm with center and scale calibrated by each example's means.

        x' = x + center_weight[c] g[n, c]
        xhat = (x' - mean[c]) / sqrt(var[c] + eps)
        y = activation(gamma[c] sigmoid(scale_weight[c] ghat[n, c]
                                        + scale_bias[c]) xhat + beta[c])

    with g and ghat the means of channel c of x and of xhat over the positions
    of example n, and the mean and the (biased) variance of channel c of x'
    over the batch; at inference moving_mean and moving_variance, which follow
    those of x', while g and ghat stay the example's own. A new layer is
    `sigmoid(1) = 0.731` times batch norm: center_weight and scale_weight
    start at 0, scale_bias at 1. Three weights a channel more.

    Arguments:
        axis: the channel axis; -1 is channels last, 1 channels first.
        momentum: of the running averages, see `BatchNormalization`.
        epsilon: added to the variance.
        **kwargs: `synchronized` and `inference_weight`, see
            `BatchNormalization` (an example's own moments at inference are
            those of x'), and of every layer `center`, `scale`,
            `*_initializer` (also of `moving_mean` and `moving_variance`),
            `*_regularizer`, `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Masks and replicas: see `BatchNormalization`; g and ghat of an example
        with no True position are 0.
    Raises: ValueError as `BatchNormalization` does.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.RepresentativeBatchNormalization(
    ...     epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)).round(3))
    [[-0.731 -0.731]
     [ 0.731  0.731]]

    Source: Gao et al., Representative Batch Normalization with Feature
    Calibration, CVPR 2021, section 3; epsilon and momentum are those of the
    authors' code.
    """

    centers = True
    gate_of = "normalized"

    def __init__(self, axis=-1, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )
