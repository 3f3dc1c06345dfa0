"""The projection of adaptive instance normalization."""

from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.ops.instance_moments import instance_moments
from keras_norms.types import Shape
from keras_norms.types import Tensor


class ConditionMoments(keras.layers.Layer):
    """The standard deviations, less 1, and the means of each example."""

    def __init__(self, axis: int, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False
        self.supports_masking = True
        self.axis = axis
        self.epsilon = epsilon

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        moments = instance_moments(inputs, mask, self.axis)
        stddev = ops.sqrt(moments.variance + self.epsilon)
        mean = moments.mean + moments.residual
        return ops.concatenate([stddev - 1.0, mean], axis=1)

    def compute_mask(self, inputs: Tensor, previous_mask: Any) -> None:
        return None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels = validation.channels(self.axis, input_shape)
        return (input_shape[0], 2 * channels)
