"""Pass 1 by the native library, differentiable as often as asked for."""

import tensorflow as tf

from keras_norms.ops import native_ops as native
from keras_norms.ops.coefficients import Coefficients
from keras_norms.ops.layout import inverse
from keras_norms.ops.moments import Moments
from keras_norms.ops.tables import column


def native_moments(layout, x, mask):
    """Moments of each row. Their gradient is a line over x:

    dx = d mean / count + (x - mean) 2 d variance / count
    """

    @tf.custom_gradient
    def run(x):
        count, *moments = native.moments(x, mask, layout)

        def gradient(_, d_mean, d_variance, __):
            from keras_norms.ops.gradient import two_passes
            from keras_norms.ops.passes import Passes

            over = column(tf.stop_gradient(count))
            over = inverse(over, d_mean.dtype)
            line = {
                "center": native_moments(layout, x, mask).mean,
                "scale": 2.0 * d_variance * over,
                "shift": d_mean * over,
            }
            passes = Passes(layout, mask, _line, False, None, x.dtype.name)
            dx, _ = two_passes(passes, x, line)
            if mask is not None:
                view = layout.view(dx)
                dx = layout.restore(tf.where(mask, view, tf.zeros_like(view)))
            return dx

        return (count, *moments), gradient

    count, mean, variance, residual = run(x)
    residual = tf.stop_gradient(residual)
    return Moments(count, mean, variance, residual, layout.examples)


def _line(_, center, scale, shift):
    return Coefficients(center, scale, shift)
