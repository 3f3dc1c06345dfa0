import dataclasses

import keras
from keras import ops

from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.ops import affine_about


@keras.saving.register_keras_serializable(package="keras_norms")
class SwitchableNormalization(BaseBatchNormalization):
    """Instance, layer and batch norm, in learned shares.

        y = activation(gamma[c] (x - mean[n, c]) / sqrt(var[n, c] + eps)
                       + beta[c])
        mean = sum over k of softmax(mean_logits)[k] mean_k
        var = sum over k of softmax(variance_logits)[k] var_k

    with mean_k and the (biased) var_k those of instance norm (k = 0), of layer
    norm over positions and channels (1) and of batch norm (2), whose place
    moving_mean and moving_variance take at inference. Logits start at 1: a
    third each.

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
    Masks and replicas: see `BatchNormalization`; an example with no True
        position has mean and variance 0 of its own.
    Raises: ValueError as `BatchNormalization` does.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.SwitchableNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0], [3.0]], [[1.0], [3.0]]])
    >>> print(np.array(layer(x, training=True)).ravel())
    [-1.  1. -1.  1.]

    Source: Luo et al., Differentiable Learning-to-Normalize via Switchable
    Normalization, ICLR 2019 (arXiv 1806.10779), section 2. Epsilon
    and momentum are those of the authors' code, whose instance variance is
    unbiased.
    """

    per_example = True

    def __init__(self, axis=-1, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )

    def build(self, input_shape):
        super().build(input_shape)
        for name in ("mean_logits", "variance_logits"):
            weight = self.add_parameter(name, (3,), keras.initializers.Ones())
            setattr(self, name, weight)

    @property
    def parameters(self):
        return {
            **super().parameters,
            "mean_logits": self.mean_logits,
            "variance_logits": self.variance_logits,
        }

    def algebra(self, moments, instance, params):
        layer = instance.pool(groups=1)
        share = ops.softmax(params.mean_logits)
        deviation = share[1] * instance.minus(layer)
        deviation = deviation + share[2] * instance.minus(moments)
        share = ops.softmax(params.variance_logits)
        variance = share[0] * instance.variance + share[1] * layer.variance
        variance = variance + share[2] * moments.variance
        mixed = dataclasses.replace(moments, variance=variance)
        return affine_about(
            instance, deviation, mixed, params.gamma, params.beta, self.epsilon
        )
