"""The rounding sensitivity of a result, by Monte Carlo arithmetic.

The oracle computes in float64, once exactly and a few times with noise: every
intermediate result, and every gradient that passes it, is multiplied by a
factor between 1 - u and 1 + u, where u is the rounding of the dtype that a
layer computes in. The distance between the results is the rounding sensitivity
of the case. All samples are computed at once, along a first axis, and sample 0
has no noise. The rounding of float64 is too small to add, so the noise is
`GAIN` times as large there, and the distances are divided by that.
"""

import numpy as np
import tensorflow as tf

SAMPLES = 6
GAIN = 2.0**20


class Noise:
    """Relative rounding errors, which differ between samples."""

    def __init__(self, seed, rounding, gain=1.0, samples=SAMPLES):
        self.unit, unit = rounding, rounding * gain
        self.rng = np.random.default_rng([seed, 2])
        self.samples = samples
        self.units = np.full(samples, unit)
        self.units[0] = 0.0

    def relative(self, shape):
        """Draws relative errors of at most the rounding."""
        shape = (self.samples, *shape[1:])
        values = self.rng.uniform(-1.0, 1.0, shape)
        return values * self.units.reshape(-1, *[1] * (len(shape) - 1))

    def __call__(self, t):
        """Rounds t, and the gradient that flows through it."""
        forward, backward = self.relative(t.shape), self.relative(t.shape)
        return t * (1.0 + backward) + tf.stop_gradient(t) * (
            forward - backward
        )

    def slope(self, t, result, size=1.0):
        """The result of a function of t whose slope has rounding of `size`.

        A slope near 0 is computed as a difference of larger numbers.
        """
        size = tf.stop_gradient(tf.cast(size, "float64"))
        noise = self.relative(t.shape) * size
        return result + (t - tf.stop_gradient(t)) * noise

    def broadcast(self, t, shape):
        """Broadcasts t. Its gradient is a sum with the rounding of one sum."""
        axes = [a for a, n in enumerate(shape) if t.shape[a] != n]

        @tf.custom_gradient
        def run(t):
            def gradient(dy):
                total = tf.reduce_sum(dy, axes, keepdims=True)
                size = tf.reduce_sum(tf.abs(dy), axes, keepdims=True)
                return total + self.relative(total.shape) * size

            return tf.broadcast_to(t, shape), gradient

        return run(t) if axes else t

    def repeated(self, array):
        """Repeats an array for each sample, [samples, ...]."""
        array = np.asarray(array, "float64")
        return tf.constant(
            np.broadcast_to(array, (self.samples, *array.shape))
        )
