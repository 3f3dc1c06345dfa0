from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.layers.serialization import serialized
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class ThresholdedLinearUnit(keras.layers.Layer):
    """The activation that belongs to filter response normalization.

    ```
    y = max(x, tau[c])
    ```

    `tau` is learned, with one number per channel. It starts at 0, so a new
    layer is a ReLU.

    Masking: The mask does not change the output and is passed on.

    {{same_inference}}

    Args:
        {{axis}}
        tau_initializer: Initializer for `tau`. Defaults to `"zeros"`.
        tau_regularizer: Regularizer for `tau`, or `None`. Defaults to `None`.
        tau_constraint: Constraint for `tau`, or `None`. Defaults to `None`.
        {{layer_kwargs}}

    Call arguments:
        {{inputs}}

    Input shape:
        Tensor of rank 2 or more, `(batch, ..., channels)`, with the channels
        at `axis`. All sizes but the number of channels may be unknown.

    Output shape:
        {{output_shape}}

    Raises:
        ValueError: If the inputs have rank 1, if `axis` is not one integer or
            is out of bounds, or if the number of channels is unknown or 0.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.ThresholdedLinearUnit()
    >>> print(np.array(layer(np.array([[-1.0, 2.0]]))))
    [[0. 2.]]

    Reference:

    - Singh and Krishnan, Filter Response Normalization Layer, 2020,
      [arXiv 1911.09737](https://arxiv.org/abs/1911.09737), section 3.
    """

    def __init__(
        self,
        axis: int = -1,
        tau_initializer: Identifier = "zeros",
        tau_regularizer: Identifier = None,
        tau_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.axis = validation.axis(axis)
        self.tau_initializer = keras.initializers.get(tau_initializer)
        self.tau_regularizer = keras.regularizers.get(tau_regularizer)
        self.tau_constraint = keras.constraints.get(tau_constraint)

    def build(self, input_shape: Shape) -> None:
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

    def call(self, inputs: Tensor) -> Tensor:
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        return ops.maximum(inputs, ops.reshape(self.tau, shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        validation.channels(self.axis, input_shape)
        return tuple(input_shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "axis": self.axis,
            **serialized(
                self,
                "tau_initializer",
                "tau_regularizer",
                "tau_constraint",
            ),
        }
