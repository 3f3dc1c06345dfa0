import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.layers.as_stored import AS_STORED
from keras_norms.layers.kernel_layers import INTEGER_MODES
from keras_norms.layers.kernel_layers import check_kernel
from keras_norms.layers.kernel_layers import check_wrapped
from keras_norms.layers.kernel_layers import set_dtype
from keras_norms.layers.serialization import serialized
from keras_norms.layers.standardized_kernel import outputs
from keras_norms.layers.standardized_kernel import standardized_kernel
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class WeightStandardization(keras.layers.Wrapper):
    """Standardizes the kernel of a convolution or of a dense layer.

    ```
    w'[..., o] = (w[..., o] - mean[o]) / (std[o] + epsilon)
    w'[..., o] = gain[o] (w[..., o] - mean[o])
                 / sqrt(max(K std[o]^2, epsilon))                 if scaled
    ```

    The mean and the (biased) standard deviation are taken over all K weights
    that lead to output o. In a depthwise convolution, these are the weights of
    its one input channel. The wrapped layer holds w and computes with w'. A
    normalization follows it and undoes the scale. A scaled kernel needs none:
    it preserves the variance of independent inputs. w' is computed in float32
    (in float64 for a float64 layer) and used in the compute dtype.

    `model.quantize("int8")` or `"int4"` quantizes w', which the wrapped layer
    holds from then on.

    Masking: As in the wrapped layer.

    {{same_inference}}

    Args:
        layer: Layer whose kernel is standardized: `Conv1D`, `Conv2D`,
            `Conv3D`, one of their transposes, `DepthwiseConv1D`,
            `DepthwiseConv2D` or `Dense`.
        epsilon: Float, see the formula. Defaults to `1e-5`.
        dtype: Dtype policy that the wrapped layer receives, if it is not built
            yet. With `None`, the layer keeps its own. The wrapper has the same
            policy. Defaults to `None`.
        scaled: Boolean, whether the kernel is that of scaled weight
            standardization, with a learnable gain per output. Defaults to
            `False`.
        gain_initializer: Initializer for the gain. 1.7139588594436646 undoes
            what ReLU does to the variance. Defaults to `"ones"`.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        inputs: Tensor, as for the wrapped layer.

    Input shape:
        As for the wrapped layer.

    Output shape:
        As for the wrapped layer.

    Raises:
        ValueError: If `layer` is another layer or has LoRA (also where it is
            called), if it is already built and quantized, if `epsilon` is
            negative or not finite, or if `dtype` differs from that of a layer
            that is built.
        NotImplementedError: If the layer is quantized to another mode than
            `"int8"` and `"int4"`.

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

    Reference:

    - Qiao et al., Micro-Batch Training with Batch-Channel Normalization and
      Weight Standardization, 2019,
      [arXiv 1903.10520](https://arxiv.org/abs/1903.10520), section 3. The
      biased standard deviation and epsilon are those of the authors' code.
    - Brock, De and Smith, Characterizing Signal Propagation, 2021,
      [arXiv 2101.08692](https://arxiv.org/abs/2101.08692), section 4.2, for
      `scaled`. The gain is that of the authors' code, whose epsilon is 1e-4.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        epsilon: float = 1e-5,
        dtype: Any = None,
        scaled: bool = False,
        gain_initializer: Identifier = "ones",
        **kwargs: Any,
    ) -> None:
        check_wrapped(layer)
        set_dtype(layer, dtype)
        # Keras would look for a quantized call of a wrapper whose own policy
        # is quantized.
        super().__init__(layer, dtype=layer.variable_dtype, **kwargs)
        self.autocast = False
        self.supports_masking = layer.supports_masking
        self.scaled = validation.boolean("scaled", scaled)
        self.epsilon = validation.not_negative("epsilon", epsilon)
        self.gain_initializer = keras.initializers.get(gain_initializer)
        self.gain: keras.Variable | None = None
        # `Model.quantize` calls the wrapped layer, not this one.
        quantize = layer.quantize

        @functools.wraps(quantize)
        def quantize_standardized(
            mode: str | None = None, config: Any = None, **kwargs: Any
        ) -> None:
            self._quantize(quantize, mode, config, **kwargs)

        layer.quantize = quantize_standardized

    def build(self, input_shape: Shape | None = None) -> None:
        super().build(input_shape)
        if self.scaled:
            self.gain = self.add_weight(
                name="gain",
                shape=(outputs(self.layer),),
                initializer=self.gain_initializer,
                dtype=statistics_dtype(self.variable_dtype),
                autocast=False,
            )

    # The wrapper has the policy of the wrapped layer, also after that layer is
    # quantized.

    @property
    def dtype_policy(self) -> Any:
        return self.layer.dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self.layer.dtype_policy = value

    @property
    def compute_dtype(self) -> str:
        return self.layer.compute_dtype

    @property
    def variable_dtype(self) -> str:
        return self.layer.variable_dtype

    def call(self, inputs: Tensor) -> Tensor:
        check_kernel(self.layer)
        if self.layer.quantization_mode in INTEGER_MODES:
            return self.layer(inputs)
        return AS_STORED(inputs, function=self._call_standardized)

    def _call_standardized(self, inputs: Tensor) -> Tensor:
        kernel = self.layer.kernel
        # The scope holds all variables of the layer, because it hides those of
        # a scope around it.
        values = {id(v): (v, v.value) for v in self.layer.variables}
        values[id(kernel)] = kernel, self._standardized(kernel)
        scope = keras.StatelessScope(values.values(), collect_losses=True)
        with scope:
            outputs = self.layer(inputs)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def _quantize(
        self,
        quantize: Callable[..., Any],
        mode: str | None,
        config: Any,
        **kwargs: Any,
    ) -> None:
        """Quantizes the wrapped layer with its standardized kernel."""
        layer = self.layer
        received = getattr(config, "mode", None) if mode is None else mode
        if received not in INTEGER_MODES:
            raise NotImplementedError(
                "WeightStandardization can only be quantized to integers, "
                f"after training. Received: mode={received!r} for "
                f'{layer.name!r}. Use "int8" or "int4", or do not quantize '
                "the layer."
            )
        check_kernel(layer)
        kernel = getattr(layer, "kernel", None)
        if kernel is None or not keras.backend.is_float_dtype(kernel.dtype):
            # Keras refuses a layer that is not built or already quantized.
            quantize(mode, config=config, **kwargs)
            return
        trained = ops.convert_to_numpy(kernel)
        kernel.assign(self._standardized(kernel))
        try:
            quantize(mode, config=config, **kwargs)
        except Exception:
            kernel.assign(trained)
            raise

    def _standardized(self, kernel: Tensor) -> Tensor:
        return standardized_kernel(self.layer, kernel, self.epsilon, self.gain)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs: Tensor) -> Any:
        return self.layer.compute_output_spec(inputs)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "scaled": self.scaled,
            **serialized(self, "gain_initializer"),
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> Any:
        # The wrapper builds the layer, because it refuses a layer that is
        # built and quantized.
        layer = {**config["layer"], "build_config": None}
        layer = keras.saving.deserialize_keras_object(
            layer, custom_objects=custom_objects
        )
        dtype = config.get("dtype")
        # Earlier versions saved the dtype of the variables here.
        if keras.dtype_policies.get(dtype).name == layer.variable_dtype:
            dtype = None
        return cls(**{**config, "layer": layer, "dtype": dtype})
