import keras
from keras import ops

from keras_norms import validation


@keras.saving.register_keras_serializable(package="keras_norms")
class ThresholdedLinearUnit(keras.layers.Layer):
    """The activation that goes with filter response normalization.

        y = max(x, tau[c])

    with tau learned, one a channel, from 0 on: a ReLU at first.

    Arguments:
        axis: the channel axis; -1 is channels last, 1 channels first.
        tau_initializer, tau_regularizer, tau_constraint: of tau.
        **kwargs: of `keras.layers.Layer`, such as `name` and `dtype`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more.
    Output: like the inputs, in the layer's compute dtype. The mask is passed
        on. Training, inference and replicas are all one.
    Raises: ValueError for inputs of rank 1, an axis out of bounds, channels of
        unknown number.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.ThresholdedLinearUnit()
    >>> print(np.array(layer(np.array([[-1.0, 2.0]]))))
    [[0. 2.]]

    Source: Singh and Krishnan, Filter Response Normalization Layer, CVPR 2020
    (arXiv 1911.09737), section 3.
    """

    def __init__(
        self,
        axis=-1,
        tau_initializer="zeros",
        tau_regularizer=None,
        tau_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.axis = validation.axis(axis)
        self.tau_initializer = keras.initializers.get(tau_initializer)
        self.tau_regularizer = keras.regularizers.get(tau_regularizer)
        self.tau_constraint = keras.constraints.get(tau_constraint)

    def build(self, input_shape):
        channels = validation.channels(self.axis, input_shape)
        self.input_spec = keras.InputSpec(
            ndim=len(input_shape), axes={self.axis: channels}
        )
        self.tau = self.add_weight(
            name="tau",
            shape=(channels,),
            initializer=self.tau_initializer,
            regularizer=self.tau_regularizer,
            constraint=self.tau_constraint,
        )

    def call(self, inputs):
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        return ops.maximum(inputs, ops.reshape(self.tau, shape))

    def compute_output_shape(self, input_shape):
        validation.channels(self.axis, input_shape)
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "tau_initializer": keras.initializers.serialize(
                self.tau_initializer
            ),
            "tau_regularizer": keras.regularizers.serialize(
                self.tau_regularizer
            ),
            "tau_constraint": keras.constraints.serialize(self.tau_constraint),
        }
