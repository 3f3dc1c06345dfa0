"""Batch norm whose center and scale are calibrated for each example."""

import dataclasses

import keras
from keras import ops

from keras_norms.layers.base_batch import BaseBatchNormalization
from keras_norms.ops import Moments
from keras_norms.ops import affine
from keras_norms.ops import affine_about
from keras_norms.ops.coefficients import inverse_deviation
from keras_norms.ops.tables import column
from keras_norms.ops.tables import is_number


class BaseCalibratedBatchNormalization(BaseBatchNormalization):
    """Base of representative batch norm and of its relatives.

    With g[n, c] the mean of channel c of example n over its positions,

        center calibration    x' = x + center_weight[c] g[n, c]
        scale calibration     y = gamma[c] gate[n, c] xhat + beta[c]
        representative        gate = sigmoid(scale_weight[c] ghat[n, c]
                                             + scale_bias[c])
        instance enhancement  gate = sigmoid(scale_weight[c] g[n, c]
                                             + scale_bias[c])

    where xhat is x' normalized, ghat its mean over an example's positions.
    A subclass sets `centers`, and `gate_of`: "normalized", "inputs" or None.
    """

    centers = False
    gate_of: str | None = None

    @property
    def calibrates(self):
        return self.centers or self.gate_of is not None

    @property
    def per_example(self):
        return self.calibrates

    def build(self, input_shape):
        super().build(input_shape)
        shape = (input_shape[self.axis],)
        self.center_weight = self.scale_weight = self.scale_bias = None
        if self.centers:
            self.center_weight = self.add_table(
                "center_weight", shape, keras.initializers.Zeros()
            )
        if self.gate_of is not None:
            bias = 1.0 if self.gate_of == "normalized" else -1.0
            self.scale_weight = self.add_table(
                "scale_weight", shape, keras.initializers.Zeros()
            )
            self.scale_bias = self.add_table(
                "scale_bias", shape, keras.initializers.Constant(bias)
            )

    @property
    def parameters(self):
        return {
            **super().parameters,
            "center_weight": self.center_weight,
            "scale_weight": self.scale_weight,
            "scale_bias": self.scale_bias,
        }

    def algebra(self, moments, own, center_weight=None, **parameters):
        if not self.calibrates:
            return super().algebra(moments, own, **parameters)
        deviation = own.minus(moments)
        if self.centers:
            mean = own.mean + own.residual
            deviation = deviation + center_weight * mean
        return self._calibrated(moments, own, deviation, **parameters)

    def weighed(self, own, center_weight=None, **parameters):
        if not self.centers:
            return own
        stretch = 1.0 + center_weight
        return dataclasses.replace(
            own, mean=stretch * own.mean, residual=stretch * own.residual
        )

    def _calibrated(
        self,
        moments,
        own,
        deviation,
        gamma=None,
        beta=None,
        scale_weight=None,
        scale_bias=None,
        **others,
    ):
        if self.gate_of is not None:
            mean = own.mean
            if self.gate_of == "normalized":
                mean = deviation * inverse_deviation(moments, self.epsilon)
                if not is_number(own.count):
                    mean = ops.where(column(own.count) > 0, mean, 0.0)
            gate = ops.sigmoid(scale_weight * mean + scale_bias)
            gamma = gate if gamma is None else gate * gamma
        if not self.centers:
            return affine(moments, gamma, beta, self.epsilon)
        return affine_about(own, deviation, moments, gamma, beta, self.epsilon)

    # Calibrated means lie (1 + center_weight) times as far from the batch's
    # as means do, and what is around them lies as before. Told from the mean
    # of the batch, no large number is multiplied. So both parts are pooled,
    # and replicas merge both at once: as twice the channels.

    def _trained(self, moments, training, **parameters):
        if self.centers:
            moments = _in_parts(moments)
        return super()._trained(moments, training, **parameters)

    def trained(self, moments, own, center_weight=None, **parameters):
        if not self.centers:
            return self.algebra(moments, own, **parameters)
        own = _whole(own, 1.0)
        moments = _whole(moments, 1.0 + center_weight)
        deviation = (1.0 + center_weight) * own.minus(moments)
        return self._calibrated(moments, own, deviation, **parameters)

    def followed(self, batch, rows, center_weight=None, **parameters):
        if not self.centers:
            return batch
        return _whole(batch, 1.0 + center_weight)

    def moved(self, mean, variance, center_weight=None, **running):
        if self.centers:
            mean = (1.0 + center_weight) * mean
        return super().moved(mean, variance, **running)


def _in_parts(moments):
    """Twice the channels: means alone, and what is around them alone."""
    nothing = ops.zeros_like(moments.mean)
    count = moments.count
    if not is_number(count) and len(count.shape) == 2:
        count = ops.concatenate([count, count], axis=1)
    return Moments(
        count,
        ops.concatenate([moments.mean, nothing], axis=1),
        ops.concatenate([nothing, moments.variance], axis=1),
        ops.concatenate([nothing + moments.residual, nothing], axis=1),
        moments.examples,
    )


def _whole(moments, stretch):
    """The parts as one, means lying `stretch` times as far apart."""
    mean, _ = ops.split(moments.mean, 2, axis=1)
    between, within = ops.split(moments.variance, 2, axis=1)
    residual, _ = ops.split(
        ops.zeros_like(moments.mean) + moments.residual, 2, axis=1
    )
    count = moments.count
    if not is_number(count) and len(count.shape) == 2:
        count, _ = ops.split(count, 2, axis=1)
    return Moments(
        count,
        mean,
        within + stretch * stretch * between,
        residual,
        moments.examples,
    )
