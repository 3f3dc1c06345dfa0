from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine import depthwise
from keras_norms.layers import kernel_initializers
from keras_norms.layers.serialization import serialized
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class EnhancedAffine(keras.layers.Layer):
    """A depthwise convolution in the place of gamma and beta.

    ```
    y = activation(sum over d of kernel[d, c] x[n, p + d, c] + bias[c])
    ```

    d runs over a window of `kernel_size` positions along each spatial axis,
    with p in its middle. Positions outside of x are 0. Put the layer after any
    normalization, with `center=False` and `scale=False` there, so that the
    affine transformation of each output also reads the neighbors. A new layer
    returns its inputs. Without a spatial axis, the kernel is gamma and the
    bias is beta.

    Masking: Masked positions are read as 0, as positions outside of x are.
    The mask is passed on.

    {{same_inference}}

    Args:
        {{axis}}
        kernel_size: Integer, an odd number of positions. The paper tries 3, 5
            and 7. Defaults to `3`.
        use_bias: Boolean, whether the layer has a bias, one number per
            channel. Defaults to `True`.
        kernel_initializer: Initializer for `kernel`: `"identity"` (1 in the
            middle, 0 elsewhere), `"uniform"` (the default of PyTorch, with
            which the authors start), or an initializer of Keras. Defaults to
            `"identity"`.
        bias_initializer: Initializer for `bias`. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer for `kernel`, or `None`. Defaults to
            `None`.
        bias_regularizer: Regularizer for `bias`, or `None`. Defaults to
            `None`.
        kernel_constraint: Constraint for `kernel`, or `None`. Defaults to
            `None`.
        bias_constraint: Constraint for `bias`, or `None`. Defaults to `None`.
        activation: Activation of the output, or `None`. Defaults to `None`.
        {{layer_kwargs}}

    Call arguments:
        {{inputs}}
        {{mask}}

    Input shape:
        Tensor of rank 2 to 5, `(batch, ..., channels)`, with the channels at
        `axis`. All sizes but the number of channels may be unknown.

    Output shape:
        {{output_shape}}

    Raises:
        ValueError: If `kernel_size` is not an odd positive integer, if
            `use_bias` is not a boolean, if the inputs have another rank than 2
            to 5, if `axis` is not one integer or is out of bounds, or if the
            number of channels is unknown or 0.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.EnhancedAffine(kernel_initializer="ones")
    >>> print(np.array(layer(np.array([[[1.0], [2.0], [4.0]]]))).ravel())
    [3. 7. 6.]

    Reference:

    - Xu et al., Batch Normalization with Enhanced Linear Transformation, 2020,
      [arXiv 2011.14150](https://arxiv.org/abs/2011.14150). The authors start
      from a uniform kernel and a uniform bias.
    """

    def __init__(
        self,
        axis: int = -1,
        kernel_size: int = 3,
        use_bias: bool = True,
        kernel_initializer: Identifier = "identity",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        activation: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.axis = validation.axis(axis)
        self.kernel_size = validation.odd("kernel_size", kernel_size)
        self.use_bias = validation.boolean("use_bias", use_bias)
        self.kernel_initializer = kernel_initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.activation = validation.activation("activation", activation)
        self.bias: keras.Variable | None = None

    def build(self, input_shape: Shape) -> None:
        channels = validation.channels(self.axis, input_shape)
        validation.spatial_rank(input_shape)
        self.input_spec = keras.InputSpec(
            ndim=len(input_shape), axes={self.axis: channels}
        )
        dtype = statistics_dtype(self.variable_dtype)
        self.kernel = self.add_weight(
            name="kernel",
            shape=depthwise.kernel_shape(
                len(input_shape), channels, self.kernel_size
            ),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            dtype=dtype,
            autocast=False,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(channels,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                dtype=dtype,
                autocast=False,
            )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.transform(inputs, mask)

    def transform(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        gate: Tensor | None = None,
    ) -> Tensor:
        """The layer's output, with a bias that `gate` multiplies.

        `gate` is a tensor `[batch, channels]`. It has already multiplied the
        inputs.
        """
        shift = None
        if self.bias is not None:
            bias = ops.convert_to_tensor(self.bias)
            if gate is None:
                rows = (ops.shape(inputs)[0], bias.shape[0])
                shift = ops.broadcast_to(bias, rows)
            else:
                shift = ops.cast(gate, bias.dtype) * bias
        y = depthwise.convolve(inputs, self.kernel, shift, self.axis, mask)
        return self.activation(y)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        validation.channels(self.axis, input_shape)
        return tuple(input_shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "axis": self.axis,
            "kernel_size": self.kernel_size,
            "use_bias": self.use_bias,
            **serialized(
                self,
                "kernel_initializer",
                "bias_initializer",
                "kernel_regularizer",
                "bias_regularizer",
                "kernel_constraint",
                "bias_constraint",
                "activation",
            ),
        }
