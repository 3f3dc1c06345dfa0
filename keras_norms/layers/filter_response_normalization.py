import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.params import Params
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.ops import affine
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.moments import Moments
from keras_norms.types import Config
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class FilterResponseNormalization(BaseNormalization):
    """Divides each channel of each example by its root mean square.

    ```
    y = activation(gamma[c] x / sqrt(nu[n, c] + |epsilon|) + beta[c])
    ```

    `nu` is the mean of the squares of channel c of example n over its
    positions. Nothing is subtracted, so the activation that belongs to this
    layer has a learned threshold: `ThresholdedLinearUnit`, as the next layer.

    {{masking}}

    {{same_inference}}

    Args:
        learnable_epsilon: Boolean, whether epsilon is
            `epsilon + |epsilon_weight[c]|` with a learnable weight that starts
            at 1e-4. The paper uses it for inputs of one position, where only
            signs would be left otherwise. The argument `learned_epsilon` of
            TensorFlow Addons is read as this one. Defaults to `False`.
        axis: Integer, the axis of the channels. `-1` means channels last, `1`
            means channels first. The value `[1, 2]` of TensorFlow Addons, the
            positions of inputs of rank 4, is read as `-1`. Defaults to `-1`.
        epsilon: Float that is added to the mean of the squares. Defaults to
            `1e-6`.
        {{parameter_args}}
        {{layer_kwargs}}

    {{call_sections}}

    Raises:
        ValueError: If `learnable_epsilon` is not a boolean.
        {{errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.FilterResponseNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0, -30.0], [7.0, 40.0]]])
    >>> print(np.array(layer(x)).round(3))
    [[[ 0.2   -0.849]
      [ 1.4    1.131]]]

    Reference:

    - Singh and Krishnan, Filter Response Normalization Layer, 2020,
      [arXiv 1911.09737](https://arxiv.org/abs/1911.09737), section 3. Epsilon
      is that of the paper.
    """

    def __init__(
        self,
        learnable_epsilon: bool = False,
        axis: int = -1,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        received = axis
        axis, learnable_epsilon = validation.addons_filter_response(
            axis, learnable_epsilon, kwargs
        )
        super().__init__(axis=axis, epsilon=epsilon, **kwargs)
        if axis is not received:
            # The axes of TensorFlow Addons belong to inputs of rank 4.
            self.input_spec = keras.InputSpec(ndim=4)
        self.learnable_epsilon = validation.boolean(
            "learnable_epsilon", learnable_epsilon
        )
        self.epsilon_weight = None

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if self.learnable_epsilon:
            self.epsilon_weight = self.add_parameter(
                "epsilon_weight",
                (input_shape[self.axis],),
                keras.initializers.Constant(1e-4),
            )

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {**super().parameters, "epsilon_weight": self.epsilon_weight}

    def coefficients(self, moments: Moments, params: Params) -> Coefficients:
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

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "learnable_epsilon": self.learnable_epsilon,
        }
