"""Batch normalization, calibrated by the means of each example."""

import dataclasses

import keras
from keras import ops

from keras_norms.engine.params import Params
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.ops import Moments
from keras_norms.ops import affine
from keras_norms.ops import affine_about
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.affine import rstd
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_scalar
from keras_norms.types import Shape
from keras_norms.types import Tensor


class BaseCalibratedBatchNormalization(BaseBatchNormalization):
    """Base class of representative batch normalization and of its relatives.

    ```
    center calibration     x' = x + center_weight[c] g[n, c]
    scale calibration      y = gamma[c] gate[n, c] xhat + beta[c]
    representative         gate = sigmoid(scale_weight[c] ghat[n, c]
                                          + scale_bias[c])
    instance enhancement   gate = sigmoid(scale_weight[c] g[n, c]
                                          + scale_bias[c])
    ```

    g[n, c] is the mean of channel c of example n over its positions, xhat is
    x' normalized, and ghat is the mean of xhat over an example's positions. A
    subclass sets `centers`, and overrides `gate_of`: `"normalized"`,
    `"inputs"` or `None`.
    """

    centers = False

    @property
    def gate_of(self) -> str | None:
        """The means that the gate reads, `None` without a gate."""
        return None

    @property
    def calibrates(self) -> bool:
        return self.centers or self.gate_of is not None

    @property
    def per_example(self) -> bool:
        return self.calibrates

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        shape = (input_shape[self.axis],)
        self.center_weight = self.scale_weight = self.scale_bias = None
        if self.centers:
            self.center_weight = self.add_parameter(
                "center_weight", shape, keras.initializers.Zeros()
            )
        if self.gate_of is not None:
            bias = 1.0 if self.gate_of == "normalized" else -1.0
            self.scale_weight = self.add_parameter(
                "scale_weight", shape, keras.initializers.Zeros()
            )
            self.scale_bias = self.add_parameter(
                "scale_bias", shape, keras.initializers.Constant(bias)
            )

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {
            **super().parameters,
            "center_weight": self.center_weight,
            "scale_weight": self.scale_weight,
            "scale_bias": self.scale_bias,
        }

    def algebra(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        if not self.calibrates:
            return super().algebra(moments, instance, params)
        deviation = instance.minus(moments)
        if self.centers:
            mean = instance.mean + instance.residual
            deviation = deviation + params.center_weight * mean
        return self._calibrated(moments, instance, deviation, params)

    def example_statistics(self, instance: Moments, params: Params) -> Moments:
        if not self.centers:
            return instance
        stretch = 1.0 + params.center_weight
        return dataclasses.replace(
            instance,
            mean=stretch * instance.mean,
            residual=stretch * instance.residual,
        )

    def _calibrated(
        self,
        moments: Moments,
        instance: Moments,
        deviation: Tensor,
        params: Params,
    ) -> Coefficients:
        gamma, beta = params.gamma, params.beta
        outputs: dict[str, Tensor] = {}
        if self.gate_of is not None:
            mean = instance.mean
            if self.gate_of == "normalized":
                mean = deviation * rstd(moments, self.epsilon)
                if not is_scalar(instance.count):
                    present = column(instance.count) > 0
                    mean = ops.where(present, mean, 0.0)
            gate = ops.sigmoid(params.scale_weight * mean + params.scale_bias)
            gamma, beta, outputs = self.gated(gate, params)
        if self.centers:
            coefficients = affine_about(
                instance, deviation, moments, gamma, beta, self.epsilon
            )
        else:
            coefficients = affine(moments, gamma, beta, self.epsilon)
        return dataclasses.replace(coefficients, outputs=outputs)

    def gated(
        self, gate: Tensor, params: Params
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """gamma, beta and the outputs, where the gate multiplies gamma."""
        gamma = params.gamma
        return gate if gamma is None else gate * gamma, params.beta, {}

    # The distance of a calibrated mean from the mean of the batch is
    # (1 + center_weight) times that of the example's mean. The deviations
    # within the example stay as they are. Measured from the mean of the batch,
    # no large number is multiplied. So the variance between examples and the
    # variance within them are pooled separately, as twice the channels, which
    # replicas merge by one all-reduce.

    def training_moments(self, moments: Moments, params: Params) -> Moments:
        return _separate(moments) if self.centers else moments

    def training_coefficients(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        if not self.centers:
            return self.algebra(moments, instance, params)
        instance = _joined(instance, 1.0)
        moments = _joined(moments, 1.0 + params.center_weight)
        distance = instance.minus(moments)
        deviation = (1.0 + params.center_weight) * distance
        return self._calibrated(moments, instance, deviation, params)

    def running_target(
        self, batch: Moments, rows: Moments, params: Params
    ) -> Moments:
        if not self.centers:
            return batch
        return _joined(batch, 1.0 + params.center_weight)

    def updated_state(
        self, mean: Tensor, variance: Tensor, params: Params
    ) -> dict[str, Tensor]:
        if self.centers:
            mean = (1.0 + params.center_weight) * mean
        return super().updated_state(mean, variance, params)


def _separate(moments: Moments) -> Moments:
    """Moments of twice the channels: the means, then the variances."""
    zeros = ops.zeros_like(moments.mean)
    count = moments.count
    if not is_scalar(count) and len(count.shape) == 2:
        count = ops.concatenate([count, count], axis=1)
    return Moments(
        count,
        ops.concatenate([moments.mean, zeros], axis=1),
        ops.concatenate([zeros, moments.variance], axis=1),
        ops.concatenate([zeros + moments.residual, zeros], axis=1),
        moments.examples,
    )


def _joined(moments: Moments, stretch: Tensor) -> Moments:
    """The inverse of `_separate`, with scaled distances between means."""
    mean, _ = ops.split(moments.mean, 2, axis=1)
    between, within = ops.split(moments.variance, 2, axis=1)
    residual = ops.zeros_like(moments.mean) + moments.residual
    residual, _ = ops.split(residual, 2, axis=1)
    count = moments.count
    if not is_scalar(count) and len(count.shape) == 2:
        count, _ = ops.split(count, 2, axis=1)
    return Moments(
        count,
        mean,
        within + stretch * stretch * between,
        residual,
        moments.examples,
    )
