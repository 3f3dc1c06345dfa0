from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.params import Params
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.layers.serialization import serialized
from keras_norms.ops import affine
from keras_norms.ops import affine_about
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.moments import Moments
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor

_TINY = 1e-30


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class DynamicNormalization(BaseBatchNormalization):
    """Batch normalization whose gamma and beta are computed from statistics.

    ```
    y = activation((gamma[c] + dgamma) xhat + beta[c] + dbeta)
    [dgamma, dbeta] = W2 relu(W1 [mean, std] + b1) + b2
    ```

    `xhat` is that of batch normalization, and `std = sqrt(var + epsilon)`. The
    scope selects the statistics:

    ```
    scope="example"   mean and std of each channel of example n over its
                      positions: dgamma[n, c] and dbeta[n, c] (DN-B)
    scope="batch"     mean and std of each channel over the batch, at
                      inference the running ones: dgamma[c] and dbeta[c] (DN-C)
    ```

    W2 and b2 start at 0, so a new layer is exactly batch normalization.
    `center` and `scale` concern beta and gamma, not dbeta and dgamma.

    The method sections of the paper could not be read, and no code is public.
    The layer is a reading of the abstract, and every choice that the abstract
    leaves open is an argument. The paper reports that models with DN-C do not
    train well.

    {{batch_masking}}
    An example without an unmasked position has mean and variance 0.

    {{batch_inference}}
    With `scope="example"`, the output for an example does not depend on the
    other examples.

    {{batch_replicas}}

    Args:
        scope: String, `"example"` or `"batch"`. Defaults to `"example"`.
        reduction: Number of 1 or more. W1 maps 2 C statistics to
            `C / reduction` numbers (rounded down, at least 1), and W2 maps
            these to 2 C. The default adds the paper's 0.6% of multiply-adds to
            MobileNetV2. Defaults to `24`.
        hidden_activation: Activation between W1 and W2. Defaults to `"relu"`.
        output_activation: Activation after W2, or `None`. With one that is not
            0 at 0, a new layer is not batch normalization. Defaults to `None`.
        use_bias: Boolean, whether b1 and b2 exist. Defaults to `True`.
        separate: Boolean, whether there are two modules of half the size, one
            that computes dgamma from std alone and one that computes dbeta
            from mean alone. Defaults to `False`.
        hidden_initializer: Initializer for W1. Defaults to `"glorot_uniform"`.
        output_initializer: Initializer for W2. Defaults to `"zeros"`.
        inference_statistics: String, the statistics that `scope="batch"` reads
            at inference: `"running"`, or `"batch"`, with which outputs depend
            on the batch. Defaults to `"running"`.
        momentum: Float from 0 to 1, the momentum of the moving averages. The
            abstract states none, so this is the default of batch
            normalization. Defaults to `0.99`.
        epsilon: Float that is added to the variance. The abstract states none,
            so this is the default of batch normalization. Defaults to `1e-3`.
        {{batch_args}}

    {{batch_call_sections}}

    Raises:
        ValueError: If `scope` or `inference_statistics` is unknown, or if
            `reduction` is below 1.
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.DynamicNormalization(epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1. -1.]
     [ 1.  1.]]

    Reference:

    - Liu, Gao and Lv, Dynamic Normalization, 2021,
      [arXiv 2101.06073](https://arxiv.org/abs/2101.06073), abstract.
    """

    def __init__(
        self,
        scope: str = "example",
        reduction: float = 24,
        hidden_activation: Identifier = "relu",
        output_activation: Identifier = None,
        use_bias: bool = True,
        separate: bool = False,
        hidden_initializer: Identifier = "glorot_uniform",
        output_initializer: Identifier = "zeros",
        inference_statistics: str = "running",
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.scope = validation.one_of("scope", scope, "example", "batch")
        self.reduction = validation.reduction(reduction)
        self.hidden_activation = validation.activation(
            "hidden_activation", hidden_activation
        )
        self.output_activation = validation.activation(
            "output_activation", output_activation
        )
        self.use_bias = validation.boolean("use_bias", use_bias)
        self.separate = validation.boolean("separate", separate)
        self.hidden_initializer = keras.initializers.get(hidden_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.inference_statistics = validation.one_of(
            "inference_statistics", inference_statistics, "running", "batch"
        )

    @property
    def per_example(self) -> bool:
        return self.scope == "example" or self.inference_statistics == "batch"

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        channels = input_shape[self.axis]
        size = channels if self.separate else 2 * channels
        hidden = max(1, int(channels / self.reduction))
        zeros = keras.initializers.Zeros()
        self._weight_names = []
        for module in ("scale_", "shift_") if self.separate else ("",):
            for name, shape, initializer in (
                ("hidden_kernel", (size, hidden), self.hidden_initializer),
                ("hidden_bias", (hidden,), zeros),
                ("output_kernel", (hidden, size), self.output_initializer),
                ("output_bias", (size,), zeros),
            ):
                if self.use_bias or name.endswith("kernel"):
                    full_name = module + name
                    weight = self.add_parameter(full_name, shape, initializer)
                    setattr(self, full_name, weight)
                    self._weight_names.append(full_name)

    @property
    def parameters(self) -> dict[str, Tensor]:
        modules = {name: getattr(self, name) for name in self._weight_names}
        return {**super().parameters, **modules}

    def training_coefficients(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        source = instance if self.scope == "example" else moments
        return self._from_statistics(source, moments, params)

    def algebra(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        source = instance if self.scope == "example" else moments
        if self.scope == "batch" and self.inference_statistics == "batch":
            source = instance.pool(examples=None)
            if self.synchronized:
                source = source.across_replicas()
        return self._from_statistics(source, moments, params)

    def _from_statistics(
        self, source: Moments, moments: Moments, params: Params
    ) -> Coefficients:
        mean = source.mean + source.residual
        variance = source.variance + self.epsilon
        if self.epsilon < _TINY:
            # The root has no gradient at 0.
            variance = ops.maximum(variance, _TINY)
        stddev = ops.sqrt(variance)
        if self.separate:
            dgamma = self._module("scale_", stddev, params)
            dbeta = self._module("shift_", mean, params)
        else:
            both = ops.concatenate([mean, stddev], axis=1)
            both = self._module("", both, params)
            dgamma, dbeta = ops.split(both, 2, axis=1)
        gamma, beta = params.gamma, params.beta
        gamma = (1.0 if gamma is None else gamma) + dgamma
        beta = dbeta if beta is None else beta + dbeta
        if source is moments:
            return affine(moments, gamma, beta, self.epsilon)
        # The gradient of the source's variance reaches x as a multiple of
        # x - the source's mean.
        about = source.or_mean_of(moments)
        return affine_about(
            about, about.minus(moments), moments, gamma, beta, self.epsilon
        )

    def _module(
        self, prefix: str, statistics: Tensor, params: Params
    ) -> Tensor:
        def dense(values: Tensor, name: str) -> Tensor:
            values = ops.matmul(values, params[f"{prefix}{name}_kernel"])
            bias = params[f"{prefix}{name}_bias"] if self.use_bias else 0.0
            return values + bias

        hidden = self.hidden_activation(dense(statistics, "hidden"))
        return self.output_activation(dense(hidden, "output"))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "scope": self.scope,
            "reduction": self.reduction,
            **serialized(
                self,
                "hidden_activation",
                "output_activation",
                "hidden_initializer",
                "output_initializer",
            ),
            "use_bias": self.use_bias,
            "separate": self.separate,
            "inference_statistics": self.inference_statistics,
        }
