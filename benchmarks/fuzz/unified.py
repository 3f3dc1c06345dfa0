"""Unified batch norm: its bound, its gated shift and its convolution."""

import itertools

import tensorflow as tf

from benchmarks.fuzz.calibrated import CalibratedNormalization


class UnifiedBatchNormalization(CalibratedNormalization):
    def gate_of_shift(self, gate):
        self.gate = gate
        return gate

    def cosine(self):
        """The mean cosine of the first examples, and whether there is one."""
        examples = self.arguments["similarity_examples"]
        x, mask = self.s.x[:, :examples], self.s.mask[:examples]
        samples, n, size, channels = x.shape
        features = tf.where(mask > 0, x, 0.0)
        features = tf.reshape(features, (samples, n, size * channels))
        features = self.noise(features)
        length = tf.sqrt(tf.reduce_sum(tf.square(features), 2, keepdims=True))
        # An example without positions has features of length 0.
        normalized = self.noise(features / tf.maximum(length, 1e-12))
        count = float((mask.sum((1, 2)) > 0).sum())
        single = tf.reduce_sum(tf.square(normalized), (1, 2))
        total = tf.reduce_sum(tf.square(tf.reduce_sum(normalized, 1)), 1)
        value = (self.noise(total) - self.noise(single)) / max(
            count * (count - 1), 1.0
        )
        value = tf.clip_by_value(value, -1.0, 1.0)
        if count == 1:
            # An example whose squares overflow has no cosine.
            value = tf.ones_like(value)
        return value, (count > 0) & tf.math.is_finite(value)

    def bounded(self):
        """The average, whether it is above the bound, or that is unclear."""
        cosine, valid = self.cosine()
        momentum = self.arguments["similarity_momentum"]
        old = self.w["similarity"]
        average = self.noise(old * momentum)
        average = self.noise(average + self.noise(cosine * (1.0 - momentum)))
        average = tf.where(valid, average, old)
        bound = self.arguments["bound"]
        if bound == -1:
            return average, True, False
        values = average.numpy()
        spread = abs(values - values[0]).max() * 50 + 1e-6
        unclear = abs(values[0] - bound) < spread
        return average, bool(values[0] > bound), bool(unclear)

    def run(self):
        if self.case.trains and not self.bounded()[1]:
            y = self.linear(self.inference_moments(), False)
        else:
            y = super().run()
        return y if "kernel" not in self.w else self.convolved(y)

    def convolved(self, y):
        """The convolution of y, with the gate on the bias."""
        samples, n = y.shape[:2]
        axis = self.case.axis % len(self.case.shape)
        sizes = [s for a, s in enumerate(self.case.shape) if a and a != axis]
        y = tf.where(self.s.mask > 0, y, 0.0)
        y = tf.reshape(y, (samples, n, *sizes, y.shape[3]))
        kernel = self.noise(self.w["kernel"])[..., 0]
        window = kernel.shape[1:-1]
        margins = [(k // 2, k // 2) for k in window]
        padded = tf.pad(y, [(0, 0), (0, 0), *margins, (0, 0)])
        total = 0.0
        for shift in itertools.product(*map(range, window)):
            part = padded
            for a, (start, size) in enumerate(zip(shift, sizes, strict=True)):
                part = tf.gather(part, range(start, start + size), axis=a + 2)
            one = kernel[(slice(None), *shift)]
            one = tf.reshape(
                one, (samples, *[1] * (len(y.shape) - 2), one.shape[1])
            )
            one = self.noise.broadcast(one, y.shape)
            total = self.noise(total + self.noise(part * one))
        total = tf.reshape(total, (samples, n, -1, total.shape[-1]))
        if "bias" not in self.w:
            return total
        bias = self.noise(self.expand(self.weight("bias", 0.0)) * self.gate)
        return self.noise(total + self.s.over_positions(bias))
