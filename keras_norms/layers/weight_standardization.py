import functools

import keras
from keras import ops

from keras_norms import validation
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
# Modes whose kernel is made once, from the one given, and not trained.
_INTEGER = ("int8", "int4")


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
        dtype: the dtype policy that the wrapped layer is given, if it is not
            built yet; None leaves its own. The wrapper has the same policy.
        **kwargs: of `keras.layers.Layer`, such as `name`.

    Inputs, output and mask: of the wrapped layer. w' is made in float32 (for a
        float64 layer, float64) and used in the compute dtype.
    Quantization: `model.quantize("int8")`, or "int4", quantizes w', which the
        wrapped layer holds from then on. Other modes are refused.
    Raises: ValueError for another layer, a negative epsilon, a dtype other
        than that of a layer that is built, a layer that is built and
        quantized; for a layer with LoRA, here and where it is used.

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

    def __init__(self, layer, epsilon=1e-5, dtype=None, **kwargs):
        if not isinstance(layer, _PLAIN + _TRANSPOSED + _DEPTHWISE):
            raise ValueError(
                "WeightStandardization wraps convolutions (transposed and "
                "depthwise ones too) and Dense layers. Received: "
                f"layer={layer!r} of type {type(layer).__name__}. Wrap the "
                "layers of a model that hold the kernels."
            )
        _refuse_other_kernels(layer)
        if layer.built and layer.quantization_mode is not None:
            raise ValueError(
                "WeightStandardization standardizes a kernel before it is "
                f"quantized. Received: {layer.name!r}, quantized as "
                f"{layer.dtype_policy.name!r}. Wrap the layer first, and "
                "quantize the model afterwards."
            )
        _set_dtype(layer, dtype)
        # Keras would look for a quantized call of a wrapper whose own policy
        # is quantized.
        super().__init__(layer, dtype=layer.variable_dtype, **kwargs)
        self.autocast = False
        self.supports_masking = layer.supports_masking
        self.epsilon = validation.not_negative("epsilon", epsilon)
        # `Model.quantize` calls the wrapped layer, not this one.
        quantize = layer.quantize

        @functools.wraps(quantize)
        def quantize_standardized(mode=None, config=None, **kwargs):
            self._quantize(quantize, mode, config, **kwargs)

        layer.quantize = quantize_standardized

    # The policy is the wrapped layer's, also once that is quantized.

    @property
    def dtype_policy(self):
        return self.layer.dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        self.layer.dtype_policy = value

    @property
    def compute_dtype(self):
        return self.layer.compute_dtype

    @property
    def variable_dtype(self):
        return self.layer.variable_dtype

    def call(self, inputs):
        _refuse_other_kernels(self.layer)
        if self.layer.quantization_mode in _INTEGER:
            return self.layer(inputs)
        return _AS_STORED(inputs, function=self._call_standardized)

    def _call_standardized(self, inputs):
        kernel = self.layer.kernel
        # All that the layer has: a scope around this one would be hidden.
        values = {id(v): (v, v.value) for v in self.layer.variables}
        values[id(kernel)] = kernel, self._standardized(kernel)
        scope = keras.StatelessScope(values.values(), collect_losses=True)
        with scope:
            outputs = self.layer(inputs)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def _quantize(self, quantize, mode, config, **kwargs):
        """The wrapped layer's `quantize`, of the standardized kernel."""
        layer = self.layer
        received = getattr(config, "mode", None) if mode is None else mode
        if received not in _INTEGER:
            raise NotImplementedError(
                "WeightStandardization is quantized to integers, once its "
                f"kernel is trained. Received: mode={received!r} for "
                f'{layer.name!r}. Use "int8" or "int4", or leave the layer '
                "as it is."
            )
        _refuse_other_kernels(layer)
        kernel = getattr(layer, "kernel", None)
        if kernel is None or not keras.backend.is_float_dtype(kernel.dtype):
            # It is not built, or quantized already: Keras refuses it.
            quantize(mode, config=config, **kwargs)
            return
        trained = ops.convert_to_numpy(kernel)
        kernel.assign(self._standardized(kernel))
        try:
            quantize(mode, config=config, **kwargs)
        except Exception:
            kernel.assign(trained)
            raise

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

    @classmethod
    def from_config(cls, config, custom_objects=None):
        # It is built with the wrapper, since a built layer is refused where
        # it is quantized.
        layer = {**config["layer"], "build_config": None}
        layer = keras.saving.deserialize_keras_object(
            layer, custom_objects=custom_objects
        )
        dtype = config.get("dtype")
        # Earlier versions saved the dtype of the variables here.
        if keras.dtype_policies.get(dtype).name == layer.variable_dtype:
            dtype = None
        return cls(**{**config, "layer": layer, "dtype": dtype})


class _AsStored(keras.layers.Layer):
    """Calls a function that reads variables in the dtype they are stored in.

    A layer of a mixed policy reads them in its compute dtype, and a layer
    without autocasting undoes that.
    """

    def call(self, inputs, function):
        return function(inputs)

    def compute_mask(self, inputs, previous_mask):
        return None


_AS_STORED = _AsStored(dtype="float32", autocast=False)


def _refuse_other_kernels(layer):
    low_rank = getattr(layer, "lora_enabled", False)
    if low_rank or layer.quantization_mode not in (None, *_INTEGER):
        change = (
            "with a low-rank update"
            if low_rank
            else f"quantized as {layer.dtype_policy.name!r}"
        )
        raise ValueError(
            "WeightStandardization computes with the kernel as it is "
            f"trained. Received: {layer.name!r}, {change}. Leave the wrapped "
            "layer out of that."
        )


def _set_dtype(layer, dtype):
    if dtype is None:
        return
    policy = keras.dtype_policies.get(dtype)
    if policy == layer.dtype_policy:
        return
    if layer.built:
        raise ValueError(
            "The dtype of WeightStandardization is that of the wrapped layer, "
            f"which is fixed once it is built. Received: dtype={policy.name!r}"
            f" for {layer.name!r}, which is built with "
            f"{layer.dtype_policy.name!r}. Leave the dtype out, or wrap the "
            "layer before it is built."
        )
    layer.dtype_policy = policy
