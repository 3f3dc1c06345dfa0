"""The base class of all normalization layers."""

import contextlib
from typing import Any

import keras

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.normalize import normalize
from keras_norms.engine.params import Params
from keras_norms.engine.spec import Algebra
from keras_norms.engine.spec import NormSpec
from keras_norms.layers.conditional_algebra import conditioned
from keras_norms.layers.serialization import serialized
from keras_norms.statistics import replicas
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor

_OF_KERAS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)


@insert_blocks
class BaseNormalization(keras.layers.Layer):
    """Base class of all normalization layers.

    ```
    y = activation(gamma * (x - mean) / sqrt(variance + epsilon) + beta)
    ```

    A subclass overrides `coefficients`, the algebra from the moments of each
    example to the center, scale and shift of y. Without an override, the
    layer is instance normalization.

    {{masking}}

    {{same_inference}}

    Args:
        {{axis}}
        epsilon: Float that is added to the variance, in units of x squared.
            Defaults to `1e-3`.
        {{parameter_args}}
        {{layer_kwargs}}

    {{call_sections}}

    Raises:
        ValueError: If a hook, such as `coefficients`, has other arguments
            than those that it is called with.
        {{errors}}

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> class RootMeanSquare(keras_norms.layers.BaseNormalization):
    ...     def coefficients(self, moments, params):
    ...         square = moments.variance + moments.mean**2 + self.epsilon
    ...         scale = params.gamma / keras.ops.sqrt(square)
    ...         return keras_norms.ops.Coefficients(0.0, scale, params.beta)
    >>> layer = RootMeanSquare(epsilon=0.0)
    >>> print(np.array(layer(np.array([[[3.0], [4.0]]]))).round(4).ravel())
    [0.8485 1.1314]

    Reference:

    - Ulyanov, Vedaldi and Lempitsky, Instance Normalization, 2016,
      [arXiv 1607.08022](https://arxiv.org/abs/1607.08022), equation 1.
    """

    def __init__(
        self,
        axis: int = -1,
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
        self._super_of_keras().__init__(**kwargs)
        # A float32 input beyond the range of float16 must reach the
        # statistics unchanged. They are computed in their own dtype.
        self.autocast = False
        self.supports_masking = True
        self.axis = validation.axis(axis)
        self.epsilon = validation.not_negative("epsilon", epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)
        self.beta_constraint = keras.constraints.get(beta_constraint)
        self.gamma_constraint = keras.constraints.get(gamma_constraint)
        self.activation = validation.activation("activation", activation)
        self.gamma: keras.Variable | None = None
        self.beta: keras.Variable | None = None

    @property
    def channel_axis(self) -> int:
        return self.axis

    def _super_of_keras(self) -> Any:
        """Returns the `super()` of Keras's normalization class.

        Subclasses inherit from it only to pass `isinstance`, so its methods
        are skipped, and those of a user's mixin are called.
        """
        found = [kind for kind in _OF_KERAS if isinstance(self, kind)]
        return super(found[0], self) if found else super()

    def build(self, input_shape: Shape) -> None:
        validation.hooks(type(self))
        channels = validation.channels(self.axis, input_shape)
        self.input_spec = keras.InputSpec(
            ndim=len(input_shape), axes={self.axis: channels}
        )
        self.build_affine(input_shape)

    def affine_shape(self, input_shape: Shape) -> Shape:
        """The shape of gamma and beta."""
        return (input_shape[self.axis],)

    def build_affine(self, input_shape: Shape) -> None:
        """Adds gamma and beta, as far as the layer has them."""
        shape = self.affine_shape(input_shape)
        if self.scale:
            self.gamma = self.add_parameter(
                "gamma",
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_parameter(
                "beta",
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def add_parameter(
        self,
        name: str,
        shape: Shape,
        initializer: Identifier,
        trainable: bool = True,
        **kwargs: Any,
    ) -> keras.Variable:
        """Adds a weight of the algebra, which is never stored in 16 bits.

        Under `MirroredStrategy`, a weight that is not trainable is read and
        saved as the mean of the replicas' values, unless these stay equal.
        """
        stays_equal = trainable or getattr(self, "synchronized", False)
        averaging = replicas.averaging_when_read()
        with contextlib.nullcontext() if stays_equal else averaging:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                dtype=statistics_dtype(self.variable_dtype),
                autocast=False,
                trainable=trainable,
                **kwargs,
            )

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The weights that the algebra reads, by name."""
        return {"gamma": self.gamma, "beta": self.beta}

    @property
    def coefficients(self) -> Algebra:
        """The algebra: from the moments of each example to coefficients.

        A subclass overrides it with a method, `coefficients(self, moments,
        params)`, that returns `keras_norms.ops.Coefficients`.
        """
        return PooledAffine(groups=-1, epsilon=self.epsilon)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.normalized(inputs, self.parameters, mask)

    def normalized(
        self,
        inputs: Tensor,
        parameters: dict[str, Tensor],
        mask: Tensor | None = None,
        training: Tensor = None,
        per_example: bool = True,
    ) -> Tensor:
        """The output with other weights, which may differ by example."""
        params = Params(parameters)
        spec = self.norm_spec(conditioned(self.coefficients, params))
        return normalize(spec, inputs, params, mask)[0]

    def norm_spec(self, algebra: Algebra, **fields: Any) -> NormSpec:
        """The `NormSpec` of an algebra, with the settings of this layer."""
        is_linear = self.activation is keras.activations.linear
        return NormSpec(
            algebra,
            axis=self.axis,
            activation=None if is_linear else self.activation,
            dtype=self.compute_dtype,
            **fields,
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        validation.channels(self.axis, input_shape)
        return tuple(input_shape)

    def get_config(self) -> Config:
        return {
            **self._super_of_keras().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **serialized(
                self,
                "beta_initializer",
                "gamma_initializer",
                "beta_regularizer",
                "gamma_regularizer",
                "beta_constraint",
                "gamma_constraint",
                "activation",
            ),
        }
