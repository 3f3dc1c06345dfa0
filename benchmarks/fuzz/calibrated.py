"""Batch norms calibrated by each example's means, and unified batch norm."""

import dataclasses

import tensorflow as tf

from benchmarks.fuzz.methods import Method


class CalibratedNormalization(Method):
    """With center_weight and a gate, or without either."""

    @property
    def centers(self):
        return "center_weight" in self.w

    @property
    def gate_of(self):
        if "scale_weight" not in self.w:
            return None
        enhances = self.case.layer == "InstanceEnhancementBatchNormalization"
        kind = self.arguments.get("scale_calibration", "representative")
        if enhances or kind == "instance_enhancement":
            return "inputs"
        return "normalized"

    def own_moments(self):
        own = self.s.moments(1)
        if not self.centers:
            return own
        stretch = 1.0 + self.w["center_weight"][:, None]
        rounded = self.noise.relative(own.pivot.shape) * own.pivot
        return dataclasses.replace(
            own,
            pivot=stretch * own.pivot,
            offset=stretch * (own.offset + rounded),
        )

    def _calibrated_batch(self):
        """x' about its mean in the batch; means of examples; its moments."""
        own, batch = self.s.moments(1), self.s.moments(None)
        if not self.centers:
            return self.s.centered(batch), self.s.minus(own, batch), batch
        stretch = 1.0 + self.weight("center_weight", 0.0)
        between = self.noise(stretch * self.s.minus(own, batch))
        around = self.s.centered(own) + self.s.over_positions(between)
        around = self.noise(around)
        square = self.noise(tf.square(around))
        groups = self.s.channels
        variance = self.s.mean_of(square, None, groups, batch.count)
        variance = self.noise(variance)
        variance += self.s.rounding_of_square(batch.pivot)
        mean = stretch * batch.pivot, stretch * batch.offset
        return around, between, type(batch)(*mean, variance, batch.count)

    def linear(self, used, training):
        own = self.s.moments(1)
        if training:
            centered, away, used = self._calibrated_batch()
        else:
            centered, away = self.s.centered(used), self.s.minus(own, used)
            if self.centers:
                moved = self.noise(
                    self.weight("center_weight", 0.0) * own.mean
                )
                away = self.noise(away + moved)
                centered = self.s.centered(own) + self.s.over_positions(away)
        rstd = self.rstd(used)
        scale = rstd
        if self.gate_of is not None:
            mean = own.mean
            if self.gate_of == "normalized":
                # Of what is centered, over the positions of an example.
                mean = self.noise(tf.where(own.present, away * rstd, 0.0))
            logits = self.noise(self.weight("scale_weight", 0.0) * mean)
            logits = self.noise(logits + self.weight("scale_bias", 0.0))
            gate = self.noise(tf.sigmoid(logits))
            scale = scale * self.noise.slope(logits, gate)
        shift = self.whole(self.beta)
        return self.affine(centered, scale * self.gamma, shift, used.present)

    def training_moments(self):
        return None if self.centers else super().training_moments()

    def followed(self):
        _, _, batch = self._calibrated_batch()
        return batch.mean, batch.variance, batch.count


class UnifiedBatchNormalization(CalibratedNormalization):
    def similarity(self):
        """The mean cosine between the features of different examples."""
        x, kept = self.s.x, self.s.kept
        if self.arguments["similarity"] == "pooled":
            features = self.s.moments(1).mean
        else:
            samples, n, size, channels = x.shape
            features = tf.where(kept > 0, x, 0.0)
            features = tf.reshape(features, (samples, n, size * channels))
        features = self.noise(features)
        length = tf.sqrt(tf.reduce_sum(tf.square(features), 2, keepdims=True))
        # An example without positions has features of length 0.
        unit = self.noise(features / tf.maximum(length, 1e-12))
        present = (kept.sum((1, 2)) > 0) * 1.0
        count = present.sum()
        alone = tf.reduce_sum(tf.square(unit), (1, 2))
        total = tf.reduce_sum(tf.square(tf.reduce_sum(unit, 1)), 1)
        value = (self.noise(total) - self.noise(alone)) / max(
            count * (count - 1), 1.0
        )
        valid = (count > 1) & tf.math.is_finite(value)
        return tf.clip_by_value(tf.where(valid, value, 0.0), -1.0, 1.0)

    def condensed(self):
        """Whether the batch is condensed, and whether rounding decides it."""
        similarity = self.similarity().numpy()
        threshold = self.arguments["condensation_threshold"]
        spread = abs(similarity - similarity[0]).max() * 50 + 1e-6
        unclear = abs(similarity[0] - threshold) < spread
        warm = self.w["steps"].numpy()[0] >= self.arguments["warmup_steps"]
        return bool(similarity[0] > threshold and warm), bool(unclear)

    def run(self):
        uses = self.arguments["when_condensed"] == "use_running"
        uses = uses and self.arguments["condensation_threshold"] < 1
        if self.case.trains and uses and self.condensed()[0]:
            return self.linear(self.inference_moments(), False)
        return super().run()
