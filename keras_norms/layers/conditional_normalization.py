from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.layers.batch_normalization import BatchNormalization
from keras_norms.layers.condition_moments import ConditionMoments
from keras_norms.layers.conditional_algebra import SCALE
from keras_norms.layers.conditional_algebra import SHIFT
from keras_norms.layers.domain_specific_batch_normalization import (
    DomainSpecificBatchNormalization,
)
from keras_norms.layers.group_normalization import GroupNormalization
from keras_norms.layers.instance_normalization import InstanceNormalization
from keras_norms.layers.layer_normalization import LayerNormalization
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.types import Config
from keras_norms.types import Shape
from keras_norms.types import Tensor

_NAMED = {
    "instance": InstanceNormalization,
    "group": GroupNormalization,
    "layer": LayerNormalization,
    "batch": BatchNormalization,
}


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class ConditionalNormalization(keras.layers.Layer):
    """Normalization whose gamma and beta depend on a second input.

    ```
    [dgamma[n], dbeta[n]] = projection(condition[n])
    y = activation((1 + dgamma[n, c]) normalized(x) + dbeta[n, c])
    ```

    `normalized(x)` is the output of any layer of this package before its
    activation, with its own gamma and beta if it has them. The second input
    is, for example, the embedding of a class or of a time step. The projection
    selects the method:

    ```
    "dense"      dense layer: FiLM, adaptive group and layer normalization of
                 diffusion models (AdaGN, adaLN), conditional batch
                 normalization
    "moments"    1 + dgamma = sqrt(var[n, c] + epsilon), dbeta = mean[n, c]
                 of the condition, an image of the same number of channels:
                 adaptive instance normalization (AdaIN)
    None         the condition holds [dgamma, dbeta]
    a layer      from the condition to [dgamma, dbeta]
    ```

    The affine transformation is part of the second pass of the normalization,
    so it takes no additional pass over x, except after layer normalization.

    Masking: As in the normalization layer, by `inputs_mask`. Masked positions
    of the condition are excluded from its moments. The mask of the inputs is
    passed on.

    Inference: As in the normalization layer.

    Replicas: As in the normalization layer.

    Args:
        normalization: Layer of this package, such as
            `CrossReplicaBatchNormalization()`, or one of `"instance"`,
            `"group"`, `"layer"` and `"batch"`, which have the default
            arguments, but no gamma and beta. Defaults to `"instance"`.
        projection: `"dense"`, `"moments"`, a layer, or `None`, see above.
            `"dense"` is `keras.layers.Dense(2 * channels)`. With
            `keras.layers.Dense(2 * channels, kernel_initializer="zeros")`, a
            new layer ignores the condition. Defaults to `"dense"`.
        {{layer_kwargs}}

    Call arguments:
        {{inputs}}
        condition: Tensor `[batch, features]`, or as the projection reads it,
            or with one row for all examples.
        {{training}}
        inputs_mask: Boolean tensor, as `mask` of the other layers, or `None`.
            Defaults to `None`.
        condition_mask: Boolean tensor, the mask of the condition, or `None`.
            It is read by `"moments"`. Defaults to `None`.

    Input shape:
        {{input_shape}}

    Output shape:
        {{output_shape}}

    Raises:
        ValueError: If `normalization` is no layer of this package, or one
            with a convolution or a second input, if `projection` is none of
            the above, or if its output does not have the shape
            `[batch, 2 * channels]`.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.ConditionalNormalization(
    ...     keras_norms.layers.InstanceNormalization(epsilon=0.0),
    ...     projection=None)
    >>> x = np.array([[[1.0], [3.0]], [[10.0], [50.0]]])
    >>> condition = np.array([[0.0, 0.0], [1.0, 5.0]])
    >>> print(np.array(layer(x, condition)).reshape(2, 2))
    [[-1.  1.]
     [ 3.  7.]]

    Reference:

    - Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer,
      2017, [arXiv 1709.07871](https://arxiv.org/abs/1709.07871), section 2.1.
    - Huang and Belongie, Arbitrary Style Transfer in Real-time with Adaptive
      Instance Normalization, 2017,
      [arXiv 1703.06868](https://arxiv.org/abs/1703.06868), equation 8.
    - Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, 2021,
      [arXiv 2105.05233](https://arxiv.org/abs/2105.05233), section 3.1.
    """

    def __init__(
        self,
        normalization: Any = "instance",
        projection: Any = "dense",
        **kwargs: Any,
    ) -> None:
        # It concerns the outputs, which are those of this layer.
        kwargs.setdefault(
            "activity_regularizer",
            getattr(normalization, "activity_regularizer", None),
        )
        super().__init__(**kwargs)
        self.autocast = False
        self.supports_masking = True
        if isinstance(normalization, str):
            validation.one_of("normalization", normalization, *_NAMED)
            normalization = _NAMED[normalization](
                center=False, scale=False, dtype=self.dtype_policy
            )
        validation.conditioned(normalization, _is_affine(normalization))
        self.normalization: BaseNormalization = normalization
        self.projection = validation.projection(projection)
        self._projection: keras.layers.Layer | None = None

    def build(self, inputs_shape: Shape, condition_shape: Shape) -> None:
        layer = self.normalization
        if not layer.built:
            layer.build(inputs_shape)
        self.input_spec = layer.input_spec
        channels = validation.channels(layer.channel_axis, inputs_shape)
        self._projection = self._projection_layer(channels)
        projected = condition_shape
        if self._projection is not None:
            if not self._projection.built:
                self._projection.build(condition_shape)
            projected = self._projection.compute_output_shape(condition_shape)
        validation.condition(projected, channels)

    def _projection_layer(self, channels: int) -> keras.layers.Layer | None:
        if self.projection == "dense":
            return keras.layers.Dense(
                2 * channels, dtype=self.dtype_policy, name="projection"
            )
        if self.projection == "moments":
            layer = self.normalization
            return ConditionMoments(
                layer.channel_axis, layer.epsilon, dtype=self.dtype_policy
            )
        return self.projection

    def call(
        self,
        inputs: Tensor,
        condition: Tensor,
        training: Tensor = None,
        inputs_mask: Tensor | None = None,
        condition_mask: Tensor | None = None,
    ) -> Tensor:
        if isinstance(self._projection, ConditionMoments):
            condition = self._projection(condition, mask=condition_mask)
        elif self._projection is not None:
            condition = self._projection(condition)
        validation.condition_rows(condition.shape[0], inputs.shape[0])
        dtype = statistics_dtype(self.variable_dtype)
        change, shift = ops.split(ops.cast(condition, dtype), 2, axis=1)
        parameters = {
            **self.normalization.parameters,
            SCALE: 1.0 + change,
            SHIFT: shift,
        }
        return self.normalization.normalized(
            inputs, parameters, inputs_mask, training, per_example=True
        )

    def compute_output_shape(
        self, inputs_shape: Shape, condition_shape: Shape
    ) -> Shape:
        return self.normalization.compute_output_shape(inputs_shape)

    def get_config(self) -> Config:
        projection: Any = self.projection
        if isinstance(projection, keras.layers.Layer):
            projection = keras.saving.serialize_keras_object(projection)
        return {
            **super().get_config(),
            "normalization": keras.saving.serialize_keras_object(
                self.normalization
            ),
            "projection": projection,
        }

    @classmethod
    def from_config(cls, config: Config) -> "ConditionalNormalization":
        config = dict(config)
        for name in ("normalization", "projection"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name]
                )
        return cls(**config)


def _is_affine(layer: Any) -> bool:
    """Whether a layer has one input, and an affine map of it as output."""
    return (
        isinstance(layer, BaseNormalization)
        and not isinstance(layer, DomainSpecificBatchNormalization)
        and getattr(layer, "convolution", None) is None
    )
