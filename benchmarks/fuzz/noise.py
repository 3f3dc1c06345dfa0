"""How far rounding may take a result: Monte Carlo arithmetic.

The oracle computes in float64, once exactly and a few times with every
intermediate result, and every gradient that passes it, multiplied by a factor
between 1 - u and 1 + u, where u is the rounding of the dtype that a layer
computes in. How far the results lie apart is the rounding sensitivity of the
case. All samples are computed at once, along a first axis; sample 0 has no
noise. float64's own rounding is too small to add: noise is `GAIN` times as
large there, and the distances are divided by that.
"""

import numpy as np
import tensorflow as tf

SAMPLES = 6
GAIN = 2.0**20


class Noise:
    """Rounding of a relative size, different for each sample."""

    def __init__(self, seed, rounding, gain=1.0, samples=SAMPLES):
        self.unit, unit = rounding, rounding * gain
        self.rng = np.random.default_rng([seed, 2])
        self.samples = samples
        self.units = np.full(samples, unit)
        self.units[0] = 0.0

    def relative(self, shape):
        """Relative errors, each as large as the rounding or smaller."""
        shape = (self.samples, *shape[1:])
        values = self.rng.uniform(-1.0, 1.0, shape)
        return values * self.units.reshape(-1, *[1] * (len(shape) - 1))

    def __call__(self, t):
        """t rounded, and the gradient that flows through it rounded."""
        forward, backward = self.relative(t.shape), self.relative(t.shape)
        return t * (1.0 + backward) + tf.stop_gradient(t) * (
            forward - backward
        )

    def slope(self, t, result, size=1.0):
        """The result of a function of t whose slope is rounded about `size`.

        One that is nearly 0 is computed as a difference of larger numbers.
        """
        size = tf.stop_gradient(tf.cast(size, "float64"))
        noise = self.relative(t.shape) * size
        return result + (t - tf.stop_gradient(t)) * noise

    def broadcast(self, t, shape):
        """t in a larger shape; its gradient is a sum, rounded as one."""
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
        """A copy for each sample, [samples, ...]."""
        array = np.asarray(array, "float64")
        return tf.constant(
            np.broadcast_to(array, (self.samples, *array.shape))
        )
