"""Statistics over examples, blocks of them and groups of channels.

x is `[samples, N, S, C]`: S positions of N examples. Tables are `[samples, N,
C]`: each entry holds the statistic that its example and channel belong to.
A mean is a constant near it and an offset, so that differences of large means
keep their digits.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf


@dataclasses.dataclass
class Moments:
    pivot: Any
    offset: Any
    variance: Any
    count: np.ndarray  # [N, C]

    @property
    def mean(self):
        return self.pivot + self.offset

    @property
    def present(self):
        return self.count > 0


class Statistics:
    def __init__(self, x, kept, noise, epsilon):
        self.x = x  # [samples, N, S, C]
        self.kept = kept  # [N, S, 1], ones and zeros
        self.noise = noise
        self.epsilon = epsilon
        self._moments = {}
        _, self.examples, _, self.channels = x.shape

    def totals(self, table, block, groups):
        """Sums over blocks of examples (None: all) and groups of channels."""
        samples, n, c = table.shape
        if groups != c:
            table = tf.reshape(table, (samples, n, groups, c // groups))
            table = tf.reduce_sum(table, axis=3)
            table = tf.repeat(table, c // groups, axis=2)
        if block == 1 or n == 0:
            return table
        block = n if block is None else block
        parts = []
        for start in range(0, n, block):
            part = table[:, start : start + block]
            total = tf.reduce_sum(part, axis=1, keepdims=True)
            parts.append(tf.repeat(total, part.shape[1], axis=1))
        return tf.concat(parts, axis=1)

    def counts(self, block, groups):
        kept = np.broadcast_to(
            self.kept.sum(1), (self.examples, self.channels)
        )
        return self.totals(tf.constant(kept[None]), block, groups)[0].numpy()

    def mean_of(self, values, block, groups, count):
        """Means over what is kept, 0 of nothing."""
        values = values * self.kept
        total = self.totals(tf.reduce_sum(values, axis=2), block, groups)
        # Layers add differences from a value some deviations away.
        square = tf.reduce_sum(tf.square(values), axis=2)
        size = tf.stop_gradient(tf.sqrt(values.shape[2] * square))
        size = self.totals(size, block, groups)
        total += self.noise.relative(size.shape) * size
        return total / np.maximum(count, 1)

    def over_positions(self, table):
        """A table as something of the shape of x."""
        return self.noise.broadcast(table[:, :, None], self.x.shape)

    def moments(self, block=1, groups=None):
        """Of blocks of examples (None: all) and groups of channels."""
        groups = self.channels if groups in (None, -1) else groups
        if (block, groups) not in self._moments:
            self._moments[block, groups] = self._pooled(block, groups)
        return self._moments[block, groups]

    def _pooled(self, block, groups):
        count = self.counts(block, groups)
        plain = tf.stop_gradient(self.x)
        sums = tf.reduce_sum(plain * self.kept, axis=2)
        pivot = self.totals(sums, block, groups) / np.maximum(count, 1)
        away = self.noise(self.x - pivot[:, :, None])
        offset = self.mean_of(away, block, groups, count)
        square = self.noise(tf.square(away - self.over_positions(offset)))
        variance = self.noise(self.mean_of(square, block, groups, count))
        # A mean is two floats; that of equal values is exact.
        square = tf.stop_gradient(variance) + self.epsilon
        limit = 2.0**-8 * tf.sqrt(square)
        rounded = 4 * self.noise.unit * self.noise.relative(pivot.shape)
        offset += tf.clip_by_value(rounded * pivot, -limit, limit)
        limit = 2.0**-16 * square
        rounded = self.rounding_of_square(pivot)
        variance += tf.clip_by_value(rounded, -limit, limit)
        # What float64 leaves of equal values is no variance.
        equal = variance <= 2.0**-94 * tf.square(pivot)
        variance = tf.where(equal, 0.0, variance)
        return Moments(pivot, offset, variance, count)

    def rounding_of_square(self, mean):
        """What a square of the rounding of a mean is rounded by."""
        square = tf.square(self.noise.unit * tf.stop_gradient(mean))
        return self.noise.relative(mean.shape) * square

    def centered(self, moments):
        away = self.x - moments.pivot[:, :, None]
        return self.noise(away - self.over_positions(moments.offset))

    def minus(self, one, other):
        """The difference of two means."""
        return self.noise(
            (one.pivot - other.pivot) + (one.offset - other.offset)
        )

    def running(self, mean, variance, groups=None):
        """Running statistics as moments, pooled over groups of channels."""
        groups = self.channels if groups in (None, -1) else groups
        width = self.channels // groups
        shape = (mean.shape[0], self.examples, self.channels)

        def pooled(table):
            table = tf.broadcast_to(table[:, None], shape)
            return self.totals(table, 1, groups) / width

        pivot = pooled(mean)
        away = mean[:, None] - pivot
        offset = self.totals(away, 1, groups) / width
        size = self.totals(tf.abs(away), 1, groups) / width
        offset += self.noise.relative(size.shape) * size
        variance = variance[:, None] + self.noise(tf.square(away))
        variance = self.totals(variance, 1, groups) / width
        count = np.ones((self.examples, self.channels))
        return Moments(pivot, offset, variance, count)

    def blend(self, own, other, weight):
        """`weight` of own and the rest of other; of other alone if empty."""
        weight = weight * own.present
        difference = self.minus(own, other)
        variance = weight * own.variance + (1 - weight) * other.variance
        variance += self.noise(weight * (1 - weight) * tf.square(difference))
        return Moments(
            other.pivot,
            other.offset + weight * difference,
            variance,
            np.ones_like(own.count),
        )
