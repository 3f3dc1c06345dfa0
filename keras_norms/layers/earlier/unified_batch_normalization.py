import dataclasses
import warnings
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.engine.params import Params
from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)
from keras_norms.layers.earlier.condensation import is_condensed
from keras_norms.layers.earlier.condensation import warn_if_condensed_all_along
from keras_norms.ops import feature_similarity
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.moments import Moments
from keras_norms.types import Config
from keras_norms.types import Shape
from keras_norms.types import Tensor

_DEPRECATED = (
    '`UnifiedBatchNormalization(reading="0.1")` is deprecated. It follows the '
    "abstract of the paper, from before the authors' code was found. Remove "
    "`reading` and its arguments to use the published method, and train the "
    "model again."
)
_STATE = ("similarity", "steps", "updates", "condensed")


@keras.saving.register_keras_serializable(package="keras_norms.earlier")
class UnifiedBatchNormalization(BaseCalibratedBatchNormalization):
    """Unified batch normalization as version 0.1 read its abstract.

    ```
    condensed   S > condensation_threshold
    x' = x + center_weight[c] g[n, c]
    y = activation(gamma[c] gate[n, c] (x' - mean[c]) / sqrt(var[c] + epsilon)
                   + beta[c])
    ```

    `UnifiedBatchNormalization(reading="0.1", ...)` creates it, and saved
    configurations of version 0.1 load as it. It is not the method of the
    authors, whose code was found later.

    S is `keras_norms.ops.feature_similarity` of the batch. A condensed batch,
    after `warmup_steps` training steps, does not change `moving_mean` and
    `moving_variance`. With `when_condensed="use_running"`, it is also
    normalized with them in training. `similarity="pooled"` compares the means
    of channels over positions. `scale_calibration` selects the gate of
    `RepresentativeBatchNormalization` or of
    `InstanceEnhancementBatchNormalization`.

    The layer has four scalar weights: `similarity` of the last training batch,
    and the numbers `steps` of training steps, `updates` of updates of the
    running statistics and `condensed` of condensed batches. It warns once, at
    inference or when it is saved, if no batch has changed the running
    statistics since the warm-up and `warmup_steps / 10` batches were
    condensed.
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
        reading: str = "0.1",
        **kwargs: Any,
    ) -> None:
        validation.one_of("reading", reading, "0.1")
        warnings.warn(_DEPRECATED, DeprecationWarning, stacklevel=2)
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

    @property
    def _always_uses_batch(self) -> bool:
        never = self.condensation_threshold == 1
        return never or self.when_condensed != "use_running"

    def uses_batch(self, params: Params) -> Tensor:
        if self._always_uses_batch:
            return True
        return ops.logical_not(is_condensed(self, params))

    @property
    def pooled_affine(self) -> PooledAffine | None:
        plain = self._always_uses_batch and not self.calibrates
        return self._pooled_affine(UnifiedBatchNormalization, plain)

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
            "reading": "0.1",
            "condensation_threshold": self.condensation_threshold,
            "warmup_steps": self.warmup_steps,
            "when_condensed": self.when_condensed,
            "similarity": self.similarity_of,
            "calibrate_center": self.centers,
            "calibrate_scale": self.calibrate_scale,
            "scale_calibration": self.scale_calibration,
        }
