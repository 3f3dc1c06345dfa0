import dataclasses

import keras
from keras import ops

from keras_norms import validation
from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)
from keras_norms.layers.condensation import warn_if_condensed_all_along
from keras_norms.ops import feature_similarity


@keras.saving.register_keras_serializable(package="keras_norms")
class UnifiedBatchNormalization(BaseCalibratedBatchNormalization):
    """Batch norm that keeps condensed batches out of its running statistics.

    The paper's method sections could not be read and no code is public: this
    is a reading of its abstract, with every choice that it leaves open as an
    argument, and the composition of the two stages is not confirmed.

    Stage 1. With S the similarity of the batch, the mean cosine between the
    features of different examples (`keras_norms.ops.feature_similarity`), a
    batch is condensed where `S > condensation_threshold`, after the warm-up:

        keep_statistics   it is normalized as ever, and moving_mean and
                          moving_variance do not follow it
        use_running       it is also normalized by these, in training

    Stage 2. Calibration of center and scale: see
    `RepresentativeBatchNormalization`, from which the formulas are.

        x' = x + center_weight[c] g[n, c]
        y = activation(gamma[c] gate[n, c] (x' - mean[c]) / sqrt(var[c] + eps)
                       + beta[c])

    At inference mean and variance are the running ones, no similarity is
    computed, and the calibrations read each example alone. With
    `condensation_threshold=1` and neither calibration this is
    `BatchNormalization`, bit for bit.

    Arguments:
        condensation_threshold: a cosine, from -1 to 1; 1 is never condensed.
            None is published. The default is the lowest of our sweep over
            0.5 to 0.95 on two sets (benchmarks/papers) that did no harm: from
            it on no batch of theirs was condensed.
        warmup_steps: so many first training steps take no batch for
            condensed: early in training features are, and inference would be
            left with moving_mean 0 and moving_variance 1. A layer whose
            averages followed no batch since its warm-up, of a tenth as many
            condensed ones or more, warns, once.
        when_condensed: "keep_statistics" or "use_running".
        similarity: of "features", all that the layer's input holds of an
            example, or "pooled", its channels' means over positions.
        calibrate_center, calibrate_scale: whether each example's means do.
        scale_calibration: by the means of what is normalized,
            "representative", or of the inputs, "instance_enhancement".
        synchronized: statistics, and the similarity, of the examples of all
            replicas, for one more all-reduce. Otherwise each replica decides
            whether its own part of the batch is condensed.
        momentum: of the running averages, see `BatchNormalization`.
        epsilon: added to the variance.
        **kwargs: `inference_weight`, see `BatchNormalization`, and of every
            layer `axis`, `center`, `scale`, `*_initializer` (also of
            `moving_mean` and `moving_variance`), `*_regularizer`,
            `*_constraint`, `activation`.

    It starts as `sigmoid(1)` = 0.73 times batch norm where it calibrates the
    scale: the gate of representative batch norm does.

    State: `similarity`, of the last training batch (0 of one example;
        unsynchronized, of the first replica's); `steps`, `updates` and
        `condensed`: how many there were, how many moved the running
        statistics, and how many were condensed. Numbers, read as in
        `float(layer.similarity.numpy())`, from a callback's `on_epoch_end`
        too; layers in nested models are in `model._flatten_layers()`.
    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Masks and replicas: see `BatchNormalization`; masked positions hold no
        features.
    Raises: ValueError as `BatchNormalization` does, for a threshold outside
        [-1, 1], steps below 0, an unknown reading, similarity or calibration.

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

    Source: Wang et al., Unified Batch Normalization, 2023 (arXiv 2311.15993),
    abstract; stage 2 from Gao et al., CVPR 2021, and Liang et al., AAAI 2020.
    """

    def __init__(
        self,
        condensation_threshold=0.7,
        warmup_steps=100,
        when_condensed="keep_statistics",
        similarity="features",
        calibrate_center=True,
        calibrate_scale=True,
        scale_calibration="representative",
        momentum=0.9,
        epsilon=1e-5,
        **kwargs,
    ):
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
    def gate_of(self):
        if not self.calibrate_scale:
            return None
        if self.scale_calibration == "representative":
            return "normalized"
        return "inputs"

    @property
    def per_example(self):
        runs = self.when_condensed == "use_running" and self.weighs_examples
        return super().per_example or runs

    def build(self, input_shape):
        super().build(input_shape)
        for name in ("similarity", "steps", "updates", "condensed"):
            zero = keras.initializers.Zeros()
            setattr(
                self, name, self.add_parameter(name, (), zero, trainable=False)
            )

    @property
    def parameters(self):
        return {
            **super().parameters,
            "similarity": self.similarity,
            "steps": self.steps,
            "updates": self.updates,
            "condensed": self.condensed,
        }

    def call(self, inputs, training=None, mask=None):
        if training is None or training is False:
            warn_if_condensed_all_along(self)
        return super().call(inputs, training=training, mask=mask)

    def save_own_variables(self, store):
        warn_if_condensed_all_along(self)
        super().save_own_variables(store)

    def extra_inputs(self, inputs, mask):
        current = feature_similarity(
            inputs,
            mask,
            self.axis,
            pooled=self.similarity_of == "pooled",
            synchronized=self.synchronized,
        )
        return {"current": current}

    def uses_batch(self, params):
        never = self.condensation_threshold == 1
        if never or self.when_condensed != "use_running":
            return True
        return ops.logical_not(self._is_condensed(params))

    def running_target(self, batch, rows, params):
        """A condensed batch has count 0, so it changes nothing."""
        batch = super().running_target(batch, rows, params)
        count = ops.cast(batch.count, batch.mean.dtype)
        count = ops.where(self._is_condensed(params), 0.0, count)
        return dataclasses.replace(batch, count=count)

    def updated_state(self, mean, variance, params):
        state = super().updated_state(mean, variance, params)
        return {**state, "updates": params.updates + 1.0}

    def step_state(self, params):
        condensed = self._is_condensed(params)
        condensed = ops.cast(condensed, params.current.dtype)
        return {
            "similarity": params.current,
            "steps": params.steps + 1.0,
            "condensed": params.condensed + condensed,
        }

    def _is_condensed(self, params):
        return ops.logical_and(
            params.current > self.condensation_threshold,
            params.steps >= self.warmup_steps,
        )

    def get_config(self):
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
