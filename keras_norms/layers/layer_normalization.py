from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.layer_norm import LayerNormSpec
from keras_norms.engine.layer_norm import layer_normalize
from keras_norms.engine.params import Params
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.layers.conditional_algebra import SCALE
from keras_norms.layers.conditional_algebra import SHIFT
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class LayerNormalization(BaseNormalization, keras.layers.LayerNormalization):
    """Layer normalization: statistics of each example over some axes.

    ```
    y = activation(gamma (x - mean) / sqrt(var + epsilon) + beta)
    ```

    The mean and the (biased) variance are taken over `axis`. With the default,
    each position of each example has its own; with `axis=(1, 2, 3)`, each
    image has one mean and one variance. Gamma and beta have the sizes of
    `axis`. The layer normalization of the group normalization paper has the
    statistics of `axis=(1, 2, 3)`, but one gamma and beta per channel. It is
    `GroupNormalization(groups=1)`.

    The layer is a superset of `keras.layers.LayerNormalization`, with the same
    arguments, defaults and weights.

    Masking: Masked positions are normalized like all others, and non-finite
    values there are read as 0. If `axis` covers masked positions, these are
    excluded from the statistics and from their gradients, and an example
    without an unmasked position gives zeros, to which the activation is
    applied. The mask is passed on.

    {{same_inference}}

    Args:
        axis: Integer, or list of integers: the axes that statistics are taken
            over. Their sizes must be known. Defaults to `-1`.
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        {{parameter_args}}
        {{layer_kwargs}}

    Call arguments:
        inputs: Tensor of rank 2 or more.
        mask: Boolean tensor over the leading axes of the inputs, or `None`.
            `False` positions are masked. Defaults to `None`.

    Input shape:
        Tensor of rank 2 or more, whose first axis is the batch. Any real dtype
        is accepted. The statistics are computed in float32, or in float64 for
        float64 inputs.

    Output shape:
        {{output_shape}}

    Raises:
        ValueError: If `axis` has the batch axis, an axis twice, one that is
            out of bounds, or one of unknown size, if `epsilon` is negative or
            not finite, if `activation` is none of the above, or if the mask
            does not fit the inputs.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.LayerNormalization(epsilon=0.0)
    >>> print(np.array(layer(np.array([[1.0, 3.0], [10.0, 50.0]]))))
    [[-1.  1.]
     [-1.  1.]]

    Reference:

    - Ba, Kiros and Hinton, Layer Normalization, 2016,
      [arXiv 1607.06450](https://arxiv.org/abs/1607.06450), section 3.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Identifier = "zeros",
        gamma_initializer: Identifier = "ones",
        beta_regularizer: Identifier = None,
        gamma_regularizer: Identifier = None,
        beta_constraint: Identifier = None,
        gamma_constraint: Identifier = None,
        activation: Identifier = None,
        **kwargs: Any,
    ) -> None:
        validation.remove_disabled_rms_scaling(kwargs)
        super().__init__(
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            activation=activation,
            **kwargs,
        )
        self.axis: Any = validation.axis_or_axes(axis)

    @property
    def channel_axis(self) -> int:
        """The last one of the axes."""
        return self.axis if isinstance(self.axis, int) else self.axis[-1]

    def build(self, input_shape: Shape) -> None:
        axes = validation.normalized_axes(self.axis, input_shape)
        self.input_spec = keras.InputSpec(
            ndim=len(input_shape), axes={a: input_shape[a] for a in axes}
        )
        self.build_affine(input_shape)

    def affine_shape(self, input_shape: Shape) -> Shape:
        axes = validation.normalized_axes(self.axis, input_shape)
        return tuple(input_shape[axis] for axis in axes)

    def normalized(
        self,
        inputs: Tensor,
        parameters: dict[str, Tensor],
        mask: Tensor | None = None,
        training: Tensor = None,
        per_example: bool = True,
    ) -> Tensor:
        conditional = SCALE in parameters
        own = {name: parameters[name] for name in ("gamma", "beta")}
        is_linear = self.activation is keras.activations.linear
        activation = None if is_linear else self.activation
        spec = LayerNormSpec(
            validation.normalized_axes(self.axis, inputs.shape),
            self.epsilon,
            None if conditional else activation,
            None if conditional else self.compute_dtype,
        )
        y = layer_normalize(spec, inputs, Params(own), mask)
        if not conditional:
            return y
        scale, shift = (
            self._expanded(parameters[name], y) for name in (SCALE, SHIFT)
        )
        y = y * scale + shift
        return ops.cast(self.activation(y), self.compute_dtype)

    def _expanded(self, condition: Tensor, y: Tensor) -> Tensor:
        """A condition `[batch, channels]` with the rank and dtype of y."""
        shape = [1] * len(y.shape)
        shape[0], shape[self.channel_axis] = -1, condition.shape[1]
        return ops.reshape(ops.cast(condition, y.dtype), shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        validation.normalized_axes(self.axis, input_shape)
        return tuple(input_shape)

    def get_config(self) -> Config:
        axis = self.axis if isinstance(self.axis, int) else list(self.axis)
        return {**super().get_config(), "axis": axis}
