import keras
from keras import ops

from keras_norms import validation
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.ops import affine
from keras_norms.ops import affine_about


@keras.saving.register_keras_serializable(package="keras_norms")
class DynamicNormalization(BaseBatchNormalization):
    """Batch norm whose gamma and beta are made from statistics.

    The paper's method sections could not be read and no code is public: this
    is a reading of its abstract, with every choice that it leaves open as an
    argument.

        y = activation((gamma[c] + dgamma) xhat + beta[c] + dbeta)
        [dgamma, dbeta] = W2 relu(W1 [mean, std] + b1) + b2

    with xhat that of batch norm and std = sqrt(var + eps).

        scope="example"   mean and std of each channel of example n over its
                          positions: dgamma[n, c] and dbeta[n, c] (DN-B)
        scope="batch"     of each channel over the batch, at inference the
                          running ones: dgamma[c] and dbeta[c] (DN-C)

    W2 and b2 start at 0: a new layer is batch norm, exactly. At inference xhat
    is made with moving_mean and moving_variance, and with scope="example" an
    example's output does not depend on the others. The paper reports that
    models with DN-C do not train well.

    Arguments:
        scope: "example" or "batch".
        reduction: W1 maps 2 C statistics to C / reduction numbers (rounded
            down, at least 1), W2 maps these to 2 C. 24 adds the paper's 0.6%
            of multiply-adds to MobileNetV2.
        hidden_activation: between them.
        output_activation: after W2; one that is not 0 at 0 makes another
            start than batch norm.
        use_bias: whether there are b1 and b2.
        separate: two modules of half the size: dgamma from std alone, dbeta
            from mean alone.
        hidden_initializer, output_initializer: of W1 and W2.
        inference_statistics: what scope="batch" reads at inference: "running",
            or those of the "batch", so that outputs depend on it.
        momentum, epsilon: of batch norm, and its defaults: the abstract
            states none.
        **kwargs: `synchronized` and `inference_weight`, see
            `BatchNormalization`, and of every layer `axis`, `center`, `scale`
            (of gamma and beta, not of what is added), `*_initializer` (also
            of `moving_mean` and `moving_variance`), `*_regularizer`,
            `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Masks and replicas: see `BatchNormalization`; an example with no True
        position has mean and variance 0.
    Raises: ValueError as `BatchNormalization` does, for an unknown scope or
        inference_statistics, a reduction below 1.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.DynamicNormalization(epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1. -1.]
     [ 1.  1.]]

    Source: Liu, Gao and Lv, Dynamic Normalization, 2021 (arXiv 2101.06073),
    abstract.
    """

    def __init__(
        self,
        scope="example",
        reduction=24,
        hidden_activation="relu",
        output_activation=None,
        use_bias=True,
        separate=False,
        hidden_initializer="glorot_uniform",
        output_initializer="zeros",
        inference_statistics="running",
        momentum=0.99,
        epsilon=1e-3,
        **kwargs,
    ):
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
    def per_example(self):
        return self.scope == "example" or self.inference_statistics == "batch"

    def build(self, input_shape):
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
    def parameters(self):
        modules = {name: getattr(self, name) for name in self._weight_names}
        return {**super().parameters, **modules}

    def training_coefficients(self, moments, instance, params):
        source = instance if self.scope == "example" else moments
        return self._from_statistics(source, moments, params)

    def algebra(self, moments, instance, params):
        source = instance if self.scope == "example" else moments
        if self.scope == "batch" and self.inference_statistics == "batch":
            source = instance.pool(examples=None)
            if self.synchronized:
                source = source.across_replicas()
        return self._from_statistics(source, moments, params)

    def _from_statistics(self, source, moments, params):
        mean = source.mean + source.residual
        # The root has no gradient at 0.
        variance = ops.maximum(source.variance + self.epsilon, 1e-30)
        deviation = ops.sqrt(variance)
        if self.separate:
            dgamma = self._module("scale_", deviation, params)
            dbeta = self._module("shift_", mean, params)
        else:
            both = ops.concatenate([mean, deviation], axis=1)
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

    def _module(self, prefix, statistics, params):
        def dense(values, name):
            values = ops.matmul(values, params[f"{prefix}{name}_kernel"])
            bias = params[f"{prefix}{name}_bias"] if self.use_bias else 0.0
            return values + bias

        hidden = self.hidden_activation(dense(statistics, "hidden"))
        return self.output_activation(dense(hidden, "output"))

    def get_config(self):
        return {
            **super().get_config(),
            "scope": self.scope,
            "reduction": self.reduction,
            "hidden_activation": keras.activations.serialize(
                self.hidden_activation
            ),
            "output_activation": keras.activations.serialize(
                self.output_activation
            ),
            "use_bias": self.use_bias,
            "separate": self.separate,
            "hidden_initializer": keras.initializers.serialize(
                self.hidden_initializer
            ),
            "output_initializer": keras.initializers.serialize(
                self.output_initializer
            ),
            "inference_statistics": self.inference_statistics,
        }
