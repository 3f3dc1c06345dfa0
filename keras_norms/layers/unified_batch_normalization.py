import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.params import Params
from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)
from keras_norms.layers.condensation import is_condensed
from keras_norms.layers.condensation import warn_if_condensed_all_along
from keras_norms.ops import feature_similarity
from keras_norms.statistics.moments import Moments
from keras_norms.types import Config
from keras_norms.types import Shape
from keras_norms.types import Tensor

_STATE = ("similarity", "steps", "updates", "condensed")


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class UnifiedBatchNormalization(BaseCalibratedBatchNormalization):
    """Batch normalization that excludes condensed batches from its averages.

    ```
    condensed   S > condensation_threshold
    x' = x + center_weight[c] g[n, c]
    y = activation(gamma[c] gate[n, c] (x' - mean[c]) / sqrt(var[c] + epsilon)
                   + beta[c])
    ```

    Stage 1: S is the similarity of the batch, the mean cosine between the
    features of different examples (`keras_norms.ops.feature_similarity`). A
    condensed batch, after the warm-up, does not change `moving_mean` and
    `moving_variance`. With `when_condensed="use_running"`, it is also
    normalized with them in training. Stage 2 calibrates the center and the
    scale with the formulas of `RepresentativeBatchNormalization`. A new layer
    is batch normalization times its gate, `sigmoid(1) = 0.73`, or 0.27 with
    `"instance_enhancement"`. With `condensation_threshold=1` and neither
    calibration, the layer is `BatchNormalization`, bit for bit.

    The method sections of the paper could not be read, and no code is public.
    The layer is a reading of the abstract, and what the abstract leaves open
    is an argument. The composition of the two stages is not confirmed.

    The layer has four scalar weights: `similarity` of the last training batch
    (0 for a batch of one example, and the first replica's if it is not
    synchronized), and the numbers `steps` of training steps, `updates` of
    updates of the running statistics and `condensed` of condensed batches.
    `float(layer.similarity.numpy())` reads one, also in a callback's
    `on_epoch_end`. `model._flatten_layers()` has the layers of nested models.

    {{batch_masking}}
    Masked positions are no features.

    {{batch_inference}}
    No similarity is computed, and the calibrations read each example alone.

    {{batch_replicas}}
    The similarity takes one more all-reduce if `synchronized`. Otherwise each
    replica decides whether its own part of the batch is condensed.

    Args:
        condensation_threshold: Float from -1 to 1, a cosine. With `1`, no
            batch is condensed. None is published. The default is the lowest of
            our sweep from 0.5 to 0.95 on two data sets (benchmarks/papers)
            that did no harm. From it on, no batch of these sets was condensed.
            Defaults to `0.7`.
        warmup_steps: Integer, the number of initial training steps in which no
            batch is treated as condensed. Early features are condensed, and
            `moving_mean` and `moving_variance` would otherwise stay 0 and 1. A
            layer warns once if no batch has changed them since the warm-up and
            `warmup_steps / 10` batches were condensed. Defaults to `100`.
        when_condensed: String, `"keep_statistics"` or `"use_running"`, see
            above. Defaults to `"keep_statistics"`.
        similarity: String, the features of an example: `"features"`, all of
            its inputs, or `"pooled"`, the means of its channels over
            positions. Defaults to `"features"`.
        calibrate_center: Boolean, whether each example's means calibrate the
            center. Defaults to `True`.
        calibrate_scale: Boolean, whether each example's means calibrate the
            scale. Defaults to `True`.
        scale_calibration: String, the means that calibrate the scale:
            `"representative"`, those of the normalized values, or
            `"instance_enhancement"`, those of the inputs. Defaults to
            `"representative"`.
        momentum: Float, momentum of the moving averages. Defaults to `0.9`.
        epsilon: Float that is added to the variance. Defaults to `1e-5`.
        {{batch_args}}

    {{batch_call_sections}}

    Raises:
        ValueError: If `condensation_threshold` is outside [-1, 1], if
            `warmup_steps` is below 0, or if `when_condensed`, `similarity` or
            `scale_calibration` is unknown.
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.UnifiedBatchNormalization(
    ...     condensation_threshold=0.9, warmup_steps=0, momentum=0.0)
    >>> y = layer(np.array([[1.0], [2.0]]), training=True)
    >>> print(layer.similarity.numpy(), layer.moving_mean.numpy())
    1.0 [0.]
    >>> y = layer(np.array([[-1.0], [2.0]]), training=True)
    >>> print(layer.similarity.numpy(), layer.moving_mean.numpy())
    -1.0 [0.5]

    Reference:

    - Wang et al., Unified Batch Normalization, 2023,
      [arXiv 2311.15993](https://arxiv.org/abs/2311.15993), abstract.
    - Gao et al., 2021, and Liang et al., 2020, for stage 2, see
      `RepresentativeBatchNormalization` and
      `InstanceEnhancementBatchNormalization`.
    """

    def __init__(
        self,
        condensation_threshold: float = 0.7,
        warmup_steps: int = 100,
        when_condensed: str = "keep_statistics",
        similarity: str = "features",
        calibrate_center: bool = True,
        calibrate_scale: bool = True,
        scale_calibration: str = "representative",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.condensation_threshold = validation.cosine(
            "condensation_threshold", condensation_threshold
        )
        self.warmup_steps = validation.steps("warmup_steps", warmup_steps)
        self.when_condensed = validation.one_of(
            "when_condensed", when_condensed, "keep_statistics", "use_running"
        )
        self.similarity_of = validation.one_of(
            "similarity", similarity, "features", "pooled"
        )
        self.centers = validation.boolean("calibrate_center", calibrate_center)
        self.calibrate_scale = validation.boolean(
            "calibrate_scale", calibrate_scale
        )
        self.scale_calibration = validation.one_of(
            "scale_calibration",
            scale_calibration,
            "representative",
            "instance_enhancement",
        )
        self.warned = False

    @property
    def gate_of(self) -> str | None:
        if not self.calibrate_scale:
            return None
        by_output = self.scale_calibration == "representative"
        return "normalized" if by_output else "inputs"

    @property
    def per_example(self) -> bool:
        infers = self.when_condensed == "use_running" and self.weighs_examples
        return super().per_example or infers

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        zero = keras.initializers.Zeros()
        for name in _STATE:
            weight = self.add_parameter(name, (), zero, trainable=False)
            setattr(self, name, weight)

    @property
    def parameters(self) -> dict[str, Tensor]:
        state = {name: getattr(self, name) for name in _STATE}
        return {**super().parameters, **state}

    def call(  # type: ignore[override]
        self,
        inputs: Tensor,
        training: Tensor = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if training is None or training is False:
            warn_if_condensed_all_along(self)
        return super().call(inputs, training=training, mask=mask)

    def save_own_variables(self, store: Any) -> None:
        warn_if_condensed_all_along(self)
        super().save_own_variables(store)

    def extra_inputs(
        self, inputs: Tensor, mask: Tensor | None
    ) -> dict[str, Tensor]:
        current = feature_similarity(
            inputs,
            mask,
            self.axis,
            pooled=self.similarity_of == "pooled",
            synchronized=self.synchronized,
        )
        return {"current": current}

    def uses_batch(self, params: Params) -> Tensor:
        never = self.condensation_threshold == 1
        if never or self.when_condensed != "use_running":
            return True
        return ops.logical_not(is_condensed(self, params))

    def running_target(
        self, batch: Moments, rows: Moments, params: Params
    ) -> Moments:
        """A condensed batch has count 0, so it changes nothing."""
        batch = super().running_target(batch, rows, params)
        count = ops.cast(batch.count, batch.mean.dtype)
        count = ops.where(is_condensed(self, params), 0.0, count)
        return dataclasses.replace(batch, count=count)

    def updated_state(
        self, mean: Tensor, variance: Tensor, params: Params
    ) -> dict[str, Tensor]:
        state = super().updated_state(mean, variance, params)
        return {**state, "updates": params.updates + 1.0}

    def step_state(self, params: Params) -> dict[str, Tensor]:
        condensed = ops.cast(is_condensed(self, params), params.current.dtype)
        return {
            "similarity": params.current,
            "steps": params.steps + 1.0,
            "condensed": params.condensed + condensed,
        }

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "condensation_threshold": self.condensation_threshold,
            "warmup_steps": self.warmup_steps,
            "when_condensed": self.when_condensed,
            "similarity": self.similarity_of,
            "calibrate_center": self.centers,
            "calibrate_scale": self.calibrate_scale,
            "scale_calibration": self.scale_calibration,
        }
