"""Batch statistics in training, running statistics at inference."""

from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.normalize import normalize
from keras_norms.engine.params import Params
from keras_norms.layers import running_statistics
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.layers.batch_algebra import BatchAlgebra
from keras_norms.layers.batch_hooks import BatchHooks
from keras_norms.layers.conditional_algebra import conditioned
from keras_norms.layers.serialization import serialized
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


@insert_blocks
class BaseBatchNormalization(
    BatchHooks, BaseNormalization, keras.layers.BatchNormalization
):
    """Base class of the layers with running statistics.

    ```
    y = activation(gamma * (x - mean) / sqrt(variance + epsilon) + beta)
    ```

    In training, moments are pooled over `examples_per_block` consecutive
    examples (`None` means the whole batch), over replicas if `synchronized`,
    and over groups of channels by `channel_groups`. By default, the running
    statistics approach the moments of the whole batch (of all replicas if
    `synchronized`, otherwise averaged over replicas).

    A subclass overrides hooks, above all `algebra`. It sets `per_example` if
    a hook reads the moments of each example.

    {{batch_modes}}

    Args:
        momentum: Float, momentum of the moving averages. Defaults to `0.99`.
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        {{batch_args}}

    {{batch_call_sections}}

    Raises:
        ValueError: If a hook, such as `algebra`, has other arguments than
            those that it is called with.
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> class Centered(keras_norms.layers.BaseBatchNormalization):
    ...     def algebra(self, moments, instance, params):
    ...         scale = params.gamma
    ...         shift = params.beta - moments.residual * scale
    ...         return keras_norms.ops.Coefficients(moments.mean, scale, shift)
    >>> layer = Centered(momentum=0.0)
    >>> print(np.array(layer(np.array([[1.0], [3.0]]), training=True)).ravel())
    [-1.  1.]
    >>> print(np.array(layer(np.array([[7.0]]))))
    [[5.]]

    Reference:

    - Ioffe and Szegedy, Batch Normalization, 2015,
      [arXiv 1502.03167](https://arxiv.org/abs/1502.03167), algorithms 1 and 2.
    """

    # How many neighboring replicas of a synchronized layer share statistics;
    # `None` means all of them.
    replicas_per_group: int | None = None
    # Whether each replica updates its own running statistics, and whether
    # inference that reads them per replica was traced before, see
    # `running_statistics.py`.
    replicas_differ = inferred_in_replicas = False

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Identifier = "zeros",
        gamma_initializer: Identifier = "ones",
        moving_mean_initializer: Identifier = "zeros",
        moving_variance_initializer: Identifier = "ones",
        synchronized: bool = False,
        inference_weight: float = 0.0,
        running_variance: str = "within",
        frozen_statistics: bool = False,
        **kwargs: Any,
    ) -> None:
        validation.remove_disabled_renorm(kwargs)
        super().__init__(
            axis=axis,
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            **kwargs,
        )
        self.momentum = validation.fraction("momentum", momentum)
        self.moving_mean_initializer = keras.initializers.get(
            moving_mean_initializer
        )
        self.moving_variance_initializer = keras.initializers.get(
            moving_variance_initializer
        )
        validation.synchronized(synchronized)
        self.synchronized = synchronized
        self.inference_weight = validation.fraction(
            "inference_weight", inference_weight
        )
        self.running_variance = validation.one_of(
            "running_variance", running_variance, "within", "total"
        )
        self.frozen_statistics = validation.boolean(
            "frozen_statistics", frozen_statistics
        )
        self.moving_mean: Any = None
        self.moving_variance: Any = None

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        shape = (input_shape[self.axis],)
        self.moving_mean = self.add_parameter(
            "moving_mean", shape, self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_parameter(
            "moving_variance",
            shape,
            self.moving_variance_initializer,
            trainable=False,
        )

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {
            **super().parameters,
            "moving_mean": self.moving_mean,
            "moving_variance": self.moving_variance,
        }

    # Callers of Keras's class may pass `training` as the second argument.
    def call(  # type: ignore[override]
        self,
        inputs: Tensor,
        training: Tensor = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        return self.normalized(inputs, self.parameters, mask, training)

    def normalized(
        self,
        inputs: Tensor,
        parameters: dict[str, Tensor],
        mask: Tensor | None = None,
        training: Tensor = None,
        per_example: bool = False,
    ) -> Tensor:
        moves = self.trainable and not self.frozen_statistics
        training = moves and validation.training(training)
        may_train, may_infer = training is not False, training is not True
        tensors = dict(parameters)
        replaced: dict[str, Tensor] = {}
        if may_train:
            tensors.update(self.extra_inputs(inputs, mask))
            running_statistics.note_separate_updates(self)
        if may_infer:
            replaced = running_statistics.read_for_inference(self)
        if may_train and may_infer:
            tensors["training"] = training
            tensors.update({f"inference_{n}": v for n, v in replaced.items()})
        else:
            tensors.update(replaced)
        reads_examples = self.per_example or (
            may_infer and self.weighs_examples
        )
        block = self.examples_per_block if may_train else None
        params = Params(tensors)
        algebra = BatchAlgebra(self, training, tuple(replaced))
        spec = self.norm_spec(
            conditioned(algebra, params),
            examples_per_row=1 if reads_examples or per_example else block,
            needs_moments=may_train or reads_examples,
        )
        y, updates, outputs = normalize(spec, inputs, params, mask)
        for name, value in updates.items():
            variable = getattr(self, name)
            variable.assign(ops.cast(value, variable.dtype))
        return self.transform_output(y, outputs, mask)

    @property
    def weighs_examples(self) -> bool:
        """Whether inference blends in the moments of each example."""
        number = isinstance(self.inference_weight, float)
        return not number or self.inference_weight > 0

    def extra_inputs(
        self, inputs: Tensor, mask: Tensor | None
    ) -> dict[str, Tensor]:
        """Tensors that training computes from the inputs, by name.

        It is a hook, see `BatchHooks`. `params` holds the tensors in training.
        """
        return {}

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            **serialized(
                self,
                "moving_mean_initializer",
                "moving_variance_initializer",
            ),
            "synchronized": self.synchronized,
            "inference_weight": self.inference_weight,
            "running_variance": self.running_variance,
            "frozen_statistics": self.frozen_statistics,
        }
