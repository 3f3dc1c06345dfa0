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
        enhancement = (
            self.case.layer == "InstanceEnhancementBatchNormalization"
        )
        kind = self.arguments.get("scale_calibration", "representative")
        if enhancement or kind == "instance_enhancement":
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
        scale = rstd
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
        shift = self.expand(self.beta)
        return self.affine(centered, scale * self.gamma, shift, used.present)

    def training_moments(self):
        return None if self.has_center else super().training_moments()

    def running_target(self):
        _, _, batch = self._calibrated_batch()
        return batch.mean, batch.variance, batch.count


class UnifiedBatchNormalization(CalibratedNormalization):
    def similarity(self):
        """The mean cosine between the features of different examples."""
        x, mask = self.s.x, self.s.mask
        if self.arguments["similarity"] == "pooled":
            features = self.s.moments(1).mean
        else:
            samples, n, size, channels = x.shape
            features = tf.where(mask > 0, x, 0.0)
            features = tf.reshape(features, (samples, n, size * channels))
        features = self.noise(features)
        length = tf.sqrt(tf.reduce_sum(tf.square(features), 2, keepdims=True))
        # An example without positions has features of length 0.
        normalized = self.noise(features / tf.maximum(length, 1e-12))
        present = (mask.sum((1, 2)) > 0) * 1.0
        count = present.sum()
        single = tf.reduce_sum(tf.square(normalized), (1, 2))
        total = tf.reduce_sum(tf.square(tf.reduce_sum(normalized, 1)), 1)
        value = (self.noise(total) - self.noise(single)) / max(
            count * (count - 1), 1.0
        )
        valid = (count > 1) & tf.math.is_finite(value)
        return tf.clip_by_value(tf.where(valid, value, 0.0), -1.0, 1.0)

    def condensed(self):
        """Whether the batch is condensed, and whether that is unclear."""
        similarity = self.similarity().numpy()
        threshold = self.arguments["condensation_threshold"]
        spread = abs(similarity - similarity[0]).max() * 50 + 1e-6
        unclear = abs(similarity[0] - threshold) < spread
        warm = self.w["steps"].numpy()[0] >= self.arguments["warmup_steps"]
        return bool(similarity[0] > threshold and warm), bool(unclear)

    def run(self):
        uses_running = self.arguments["when_condensed"] == "use_running"
        uses_running = (
            uses_running and self.arguments["condensation_threshold"] < 1
        )
        if self.case.trains and uses_running and self.condensed()[0]:
            return self.linear(self.inference_moments(), False)
        return super().run()
