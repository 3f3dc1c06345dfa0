import keras
from keras import ops

from keras_norms import arguments
from keras_norms.ops import Coefficients
from keras_norms.ops import normalize

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_PLAIN = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
)


@keras.saving.register_keras_serializable(package="keras_norms")
class WeightStandardization(keras.layers.Wrapper):
    """Standardizes the kernel of a convolution or of a dense layer.

        w'[..., o] = (w[..., o] - mean[o]) / (std[o] + epsilon)

    with the mean and the (biased) deviation over all weights that lead to
    output o: of a depthwise convolution, those of its one input channel. The
    wrapped layer holds w, computes with w', and is used with a normalization
    after it, which undoes the scale. The same in training and at inference.

    Arguments:
        layer: Conv1D, 2D or 3D, one of their transposes, DepthwiseConv1D or
            2D, or Dense.
        epsilon: added to the deviation.
        **kwargs: of `keras.layers.Layer`, such as `name`.

    Inputs, output and mask: of the wrapped layer. w' is made in float32 (for a
        float64 layer, float64) and used in the compute dtype.
    Raises: ValueError for another layer, a negative epsilon; where it is used,
        for a quantized layer or one with LoRA.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> layer = keras_norms.layers.WeightStandardization(dense, epsilon=0.0)
    >>> layer.build((None, 2))
    >>> layer.set_weights([np.array([[3.0], [7.0]])])
    >>> print(np.array(layer(np.array([[10.0, 1.0]]))))
    [[-9.]]

    Source: Qiao et al., Micro-Batch Training with Batch-Channel Normalization
    and Weight Standardization, 2019 (arXiv 1903.10520), section 3; the biased
    deviation and epsilon 1e-5 as in the authors' TensorFlow code.
    """

    def __init__(self, layer, epsilon=1e-5, **kwargs):
        if not isinstance(layer, _PLAIN + _TRANSPOSED + _DEPTHWISE):
            raise ValueError(
                "WeightStandardization wraps convolutions (transposed and "
                "depthwise ones too) and Dense layers. Received: "
                f"layer={layer!r} of type {type(layer).__name__}. Wrap the "
                "layers of a model that hold the kernels."
            )
        # Mixed precision would have this read the kernel in 16 bits; the
        # wrapped layer still computes in its own dtype.
        kwargs["dtype"] = layer.variable_dtype
        super().__init__(layer, **kwargs)
        self.autocast = False
        self.supports_masking = layer.supports_masking
        self.epsilon = arguments.not_negative("epsilon", epsilon)

    def call(self, inputs):
        kernel = self.layer.kernel
        mode = getattr(self.layer, "quantization_mode", None)
        if mode is not None or not isinstance(kernel, keras.Variable):
            raise ValueError(
                "WeightStandardization computes with the kernel as it is "
                f"trained. Received: {self.layer.name!r}, "
                f"{'quantized' if mode else 'with a low-rank update'}. Leave "
                "the wrapped layer out of that."
            )
        # All that the layer has: a scope around this one would be hidden.
        values = {id(v): (v, v.value) for v in self.layer.variables}
        values[id(kernel)] = kernel, self._standardized(kernel)
        scope = keras.StatelessScope(values.values(), collect_losses=True)
        with scope:
            outputs = self.layer(inputs)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def _standardized(self, kernel):
        kernel = ops.convert_to_tensor(kernel)
        axis = -2 if isinstance(self.layer, _TRANSPOSED) else -1
        shape = kernel.shape
        if isinstance(self.layer, _DEPTHWISE):
            kernel = ops.reshape(kernel, (*shape[:-2], -1))
        result, _ = normalize(kernel[None], self._coefficients, axis=axis)
        return ops.reshape(result, shape)

    def _coefficients(self, moments):
        # The root has no gradient at 0, where all weights are equal.
        deviation = ops.sqrt(ops.maximum(moments.variance, 1e-30))
        scale = 1.0 / (deviation + self.epsilon)
        return Coefficients(moments.mean, scale, -moments.residual * scale)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs):
        return self.layer.compute_output_spec(inputs)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
