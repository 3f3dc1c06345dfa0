import keras
from keras import ops

from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.ops import Coefficients
from keras_norms.ops import affine
from keras_norms.ops import affine_about
from keras_norms.ops import where_present


@keras.saving.register_keras_serializable(package="keras_norms")
class BatchInstanceNormalization(BaseBatchNormalization):
    """Batch norm and instance norm, in a share learned for each channel.

        y = activation(gamma[c] xhat + beta[c])
        xhat = rho[c] xhat_batch + (1 - rho[c]) xhat_instance

    with xhat_batch and xhat_instance the inputs normalized by the mean and the
    (biased) variance of channel c over the batch (at inference moving_mean and
    moving_variance) and over the positions of the example. rho starts at 1,
    batch norm, and a constraint keeps it within [0, 1].

    The paper trains rho at 10 times the learning rate, which Keras has no
    place for, and without weight decay:
    `keras_norms.models.exclude_from_weight_decay` always leaves it out.

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
        position has xhat_instance 0.
    Raises: ValueError as `BatchNormalization` does.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.BatchInstanceNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0], [3.0]], [[5.0], [7.0]]])
    >>> layer.build(x.shape)
    >>> _ = layer.rho.assign([0.0])
    >>> print(np.array(layer(x, training=True)).ravel())
    [-1.  1. -1.  1.]

    Source: Nam and Kim, Batch-Instance Normalization for Adaptively
    Style-Invariant Neural Networks, NeurIPS 2018 (arXiv 1805.07925), section
    3; epsilon and momentum are those of the authors' code.
    """

    per_example = True

    def __init__(self, axis=-1, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )

    def build(self, input_shape):
        super().build(input_shape)
        self.rho = self.add_parameter(
            "rho",
            (input_shape[self.axis],),
            keras.initializers.Ones(),
            constraint=_UnitInterval(),
        )

    @property
    def parameters(self):
        return {**super().parameters, "rho": self.rho}

    def algebra(self, moments, instance, params):
        gamma, beta, rho = params.gamma, params.beta, params.rho
        # The mean of a masked example is taken as that of the batch, not 0.
        instance = instance.or_mean_of(moments)
        by_batch = affine_about(
            instance, instance.minus(moments), moments, epsilon=self.epsilon
        )
        by_instance = affine(instance, epsilon=self.epsilon)
        scale = rho * by_batch.scale + (1.0 - rho) * by_instance.scale
        shift = rho * by_batch.shift + (1.0 - rho) * by_instance.shift
        if gamma is not None:
            scale, shift = gamma * scale, gamma * shift
        if beta is not None:
            shift = shift + beta
        return where_present(
            moments, Coefficients(instance.mean, scale, shift)
        )


@keras.saving.register_keras_serializable(package="keras_norms")
class _UnitInterval(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.clip(w, 0.0, 1.0)
