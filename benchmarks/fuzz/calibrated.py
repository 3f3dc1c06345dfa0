"""Batch norms that are calibrated by the means of examples."""

import dataclasses

import tensorflow as tf

from benchmarks.fuzz.methods import Method


class CalibratedNormalization(Method):
    """Batch norm with center and scale calibration, both optional."""

    @property
    def has_center(self):
        return "center_weight" in self.w

    @property
    def gate_input(self):
        if "scale_weight" not in self.w:
            return None
        layer = self.case.layer
        if layer == "InstanceEnhancementBatchNormalization":
            return "inputs"
        return "normalized"

    def instance_moments(self):
        instance = self.s.moments(1)
        if not self.has_center:
            return instance
        stretch = 1.0 + self.w["center_weight"][:, None]
        rounded = self.noise.relative(instance.pivot.shape) * instance.pivot
        return dataclasses.replace(
            instance,
            pivot=stretch * instance.pivot,
            offset=stretch * (instance.offset + rounded),
        )

    def _calibrated_batch(self):
        """Calibrated x minus its mean; differences of means; its moments."""
        instance, batch = self.s.moments(1), self.s.moments(None)
        if not self.has_center:
            return self.s.centered(batch), self.s.minus(instance, batch), batch
        stretch = 1.0 + self.weight("center_weight", 0.0)
        between = self.noise(stretch * self.s.minus(instance, batch))
        centered = self.s.centered(instance) + self.s.over_positions(between)
        centered = self.noise(centered)
        square = self.noise(tf.square(centered))
        groups = self.s.channels
        variance = self.s.mean_of(square, None, groups, batch.count)
        variance = self.noise(variance)
        variance += self.s.rounding_of_square(batch.pivot)
        mean = stretch * batch.pivot, stretch * batch.offset
        return centered, between, type(batch)(*mean, variance, batch.count)

    def linear(self, used, training):
        instance = self.s.moments(1)
        if training:
            centered, difference, used = self._calibrated_batch()
        else:
            centered, difference = (
                self.s.centered(used),
                self.s.minus(instance, used),
            )
            if self.has_center:
                shift = self.noise(
                    self.weight("center_weight", 0.0) * instance.mean
                )
                difference = self.noise(difference + shift)
                centered = self.s.centered(instance) + self.s.over_positions(
                    difference
                )
        rstd = self.rstd(used)
        scale, gate = rstd, 1.0
        if self.gate_input is not None:
            mean = instance.mean
            if self.gate_input == "normalized":
                # The mean of the normalized example.
                mean = self.noise(
                    tf.where(instance.present, difference * rstd, 0.0)
                )
            logits = self.noise(self.weight("scale_weight", 0.0) * mean)
            logits = self.noise(logits + self.weight("scale_bias", 0.0))
            gate = self.noise(tf.sigmoid(logits))
            scale = scale * self.noise.slope(logits, gate)
        shift = self.expand(self.beta) * self.gate_of_shift(gate)
        return self.affine(centered, scale * self.gamma, shift, used.present)

    def gate_of_shift(self, gate):
        """The factor of beta."""
        return 1.0

    def training_moments(self):
        return None if self.has_center else super().training_moments()

    def running_target(self):
        _, _, batch = self._calibrated_batch()
        return batch.mean, batch.variance, batch.count
