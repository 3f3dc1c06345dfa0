"""Statistics over examples, blocks of them and groups of channels.

x has the shape `[samples, N, S, C]`: S positions of N examples. Statistics
have the shape `[samples, N, C]`, in which each entry holds the statistic of
its example and channel. A mean is the sum of a constant pivot and an offset,
so that differences of large means keep their digits.
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
    def __init__(self, x, mask, noise, epsilon):
        self.x = x  # [samples, N, S, C]
        self.mask = mask  # [N, S, 1], ones and zeros
        self.noise = noise
        self.epsilon = epsilon
        self._moments = {}
        _, self.examples, _, self.channels = x.shape

    def totals(self, values, block, groups):
        """Sums over blocks of examples (None: all) and groups of channels."""
        samples, n, c = values.shape
        if groups != c:
            values = tf.reshape(values, (samples, n, groups, c // groups))
            values = tf.reduce_sum(values, axis=3)
            values = tf.repeat(values, c // groups, axis=2)
        if block == 1 or n == 0:
            return values
        block = n if block is None else block
        totals = []
        for start in range(0, n, block):
            rows = values[:, start : start + block]
            total = tf.reduce_sum(rows, axis=1, keepdims=True)
            totals.append(tf.repeat(total, rows.shape[1], axis=1))
        return tf.concat(totals, axis=1)

    def counts(self, block, groups):
        mask = np.broadcast_to(
            self.mask.sum(1), (self.examples, self.channels)
        )
        return self.totals(tf.constant(mask[None]), block, groups)[0].numpy()

    def mean_of(self, values, block, groups, count):
        """The mean over unmasked positions, or 0 if there are none."""
        values = values * self.mask
        total = self.totals(tf.reduce_sum(values, axis=2), block, groups)
        # Layers add differences from a pivot some deviations from the mean.
        square = tf.reduce_sum(tf.square(values), axis=2)
        size = tf.stop_gradient(tf.sqrt(values.shape[2] * square))
        size = self.totals(size, block, groups)
        total += self.noise.relative(size.shape) * size
        return total / np.maximum(count, 1)

    def over_positions(self, values):
        """Broadcasts statistics to the shape of x."""
        return self.noise.broadcast(values[:, :, None], self.x.shape)

    def moments(self, block=1, groups=None):
        """Moments of blocks of examples (None: all) and groups of channels."""
        groups = self.channels if groups in (None, -1) else groups
        if (block, groups) not in self._moments:
            self._moments[block, groups] = self._pooled(block, groups)
        return self._moments[block, groups]

    def _pooled(self, block, groups):
        count = self.counts(block, groups)
        x = tf.stop_gradient(self.x)
        sums = tf.reduce_sum(x * self.mask, axis=2)
        pivot = self.totals(sums, block, groups) / np.maximum(count, 1)
        centered = self.noise(self.x - pivot[:, :, None])
        offset = self.mean_of(centered, block, groups, count)
        square = self.noise(tf.square(centered - self.over_positions(offset)))
        variance = self.noise(self.mean_of(square, block, groups, count))
        # A mean is two floats, and the mean of equal values is exact.
        square = tf.stop_gradient(variance) + self.epsilon
        limit = 2.0**-8 * tf.sqrt(square)
        rounded = 4 * self.noise.unit * self.noise.relative(pivot.shape)
        offset += tf.clip_by_value(rounded * pivot, -limit, limit)
        limit = 2.0**-16 * square
        rounded = self.rounding_of_square(pivot)
        variance += tf.clip_by_value(rounded, -limit, limit)
        # Rounding in float64 gives equal values a tiny variance.
        equal = variance <= 2.0**-94 * tf.square(pivot)
        variance = tf.where(equal, 0.0, variance)
        return Moments(pivot, offset, variance, count)

    def rounding_of_square(self, mean):
        """The error of a variance by the rounding of its mean."""
        square = tf.square(self.noise.unit * tf.stop_gradient(mean))
        return self.noise.relative(mean.shape) * square

    def centered(self, moments):
        centered = self.x - moments.pivot[:, :, None]
        return self.noise(centered - self.over_positions(moments.offset))

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

        def pooled(values):
            values = tf.broadcast_to(values[:, None], shape)
            return self.totals(values, 1, groups) / width

        pivot = pooled(mean)
        centered = mean[:, None] - pivot
        offset = self.totals(centered, 1, groups) / width
        size = self.totals(tf.abs(centered), 1, groups) / width
        offset += self.noise.relative(size.shape) * size
        variance = variance[:, None] + self.noise(tf.square(centered))
        variance = self.totals(variance, 1, groups) / width
        count = np.ones((self.examples, self.channels))
        return Moments(pivot, offset, variance, count)

    def blend(self, instance, other, weight):
        """`weight` of instance and the rest of other; only other if empty."""
        weight = weight * instance.present
        difference = self.minus(instance, other)
        variance = weight * instance.variance + (1 - weight) * other.variance
        variance += self.noise(weight * (1 - weight) * tf.square(difference))
        return Moments(
            other.pivot,
            other.offset + weight * difference,
            variance,
            np.ones_like(instance.count),
        )
