import dataclasses

import keras
from keras import ops

from keras_norms import validation
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.ops import affine


@keras.saving.register_keras_serializable(package="keras_norms")
class FilterResponseNormalization(BaseNormalization):
    """Each channel of each example over its root mean square.

        y = activation(gamma[c] x / sqrt(nu[n, c] + |eps|) + beta[c])

    with nu the mean of the squares of channel c of example n over its
    positions. Nothing is subtracted, so the activation that belongs to it has
    a threshold: `ThresholdedLinearUnit`, as a layer after this one. The same
    in training and at inference, whatever the batch and the number of
    replicas.

    Arguments:
        learnable_epsilon: whether eps is `epsilon + |epsilon_weight[c]|`, the
            weight starting at 1e-4, as the paper has it for inputs of one
            position, where all else would leave signs only.
        axis: the channel axis; -1 is channels last, 1 channels first.
            TensorFlow Addons' [1, 2], the positions of inputs of rank 4, is
            read as -1, and its `learned_epsilon` as `learnable_epsilon`.
        epsilon: added to the mean of the squares.
        **kwargs: of every layer: `center`, `scale`, `*_initializer`,
            `*_regularizer`, `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Mask: booleans over the leading axes of the inputs without their channel
        axis, or over all axes but the last, as `keras.layers.Masking` makes
        them. Masked positions are excluded from the statistics; an example
        with no True position gives zeros. The mask is passed on.
    Raises: ValueError for a `learnable_epsilon` that is not a boolean, inputs
        of rank 1, an axis out of bounds, channels of unknown number, a
        negative epsilon, a mask of another shape.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.FilterResponseNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0, -30.0], [7.0, 40.0]]])
    >>> print(np.array(layer(x)).round(3))
    [[[ 0.2   -0.849]
      [ 1.4    1.131]]]

    Source: Singh and Krishnan, Filter Response Normalization Layer, CVPR 2020
    (arXiv 1911.09737), section 3; epsilon is the paper's.
    """

    def __init__(
        self, learnable_epsilon=False, axis=-1, epsilon=1e-6, **kwargs
    ):
        received = axis
        axis, learnable_epsilon = validation.addons_filter_response(
            axis, learnable_epsilon, kwargs
        )
        super().__init__(axis=axis, epsilon=epsilon, **kwargs)
        if axis is not received:
            # Addons' axes are those of inputs of rank 4.
            self.input_spec = keras.InputSpec(ndim=4)
        self.learnable_epsilon = validation.boolean(
            "learnable_epsilon", learnable_epsilon
        )
        self.epsilon_weight = None

    def build(self, input_shape):
        super().build(input_shape)
        if self.learnable_epsilon:
            self.epsilon_weight = self.add_parameter(
                "epsilon_weight",
                (input_shape[self.axis],),
                keras.initializers.Constant(1e-4),
            )

    @property
    def parameters(self):
        return {**super().parameters, "epsilon_weight": self.epsilon_weight}

    def coefficients(self, moments, params):
        epsilon = self.epsilon
        if params.epsilon_weight is not None:
            epsilon = epsilon + ops.abs(params.epsilon_weight)
        mean = moments.mean + moments.residual
        about_zero = dataclasses.replace(
            moments,
            mean=ops.zeros_like(mean),
            variance=moments.variance + ops.square(mean),
            residual=0.0,
        )
        return affine(about_zero, params.gamma, params.beta, epsilon)

    def get_config(self):
        return {
            **super().get_config(),
            "learnable_epsilon": self.learnable_epsilon,
        }
