"""The same two passes by the kernels of the native library."""

import numbers

import tensorflow as tf

from keras_norms.ops import native_ops as native
from keras_norms.ops.coefficients import Coefficients
from keras_norms.ops.coefficients import PooledAffine
from keras_norms.ops.moments import Moments


class NativePasses:
    """Moments, algebra, line; sums, algebra, line: four kernels.

    An activation that the library does not have is applied to the line, which
    is computed anew for the gradient.
    """

    def __init__(self, passes):
        self.passes = passes
        self.activation = native.activation(passes.activation)

    def forward(self, x, parameters, algebra):
        """`(y, extras)` and what the gradient needs."""
        passes, moments = self.passes, None
        if passes.statistics:
            moments = self.moments(x)
        tables, extras = algebra(moments, parameters)
        y = self._line(x, tables, self.activation or "identity")
        if self.activation is None:
            y = passes.activation(y)
        return (tf.cast(y, passes.dtype), extras), tables

    def moments(self, x):
        layout, mask = self.passes.layout, self.passes.mask
        moments = native_moments(layout, x, mask)
        if mask is None:
            moments.count = layout.count(layout.view(x))
        return moments

    def backward(self, x, dy, tables, algebra):
        """dx, and the gradients of the parameters."""
        passes = self.passes
        dy = tf.cast(dy, x.dtype)
        activation = self.activation
        if activation is None:
            linear = self._line(x, tables, "identity")
            with tf.GradientTape() as tape:
                tape.watch(linear)
                y = passes.activation(linear)
            dy = tape.gradient(y, linear, dy)
            activation = "identity"
        arguments = (passes.mask, tables, activation, passes.layout)
        d_shift, d_scale = native.gradient_sums(x, dy, *arguments)
        b, d, d_parameters = algebra.gradient(
            Coefficients(-d_shift * tables.scale, d_scale, d_shift),
            tables.center,
        )
        dx = native.gradient_combine(x, dy, *arguments, b, d)
        return dx, *d_parameters

    def _line(self, x, tables, activation):
        passes = self.passes
        return native.apply(x, passes.mask, tables, activation, passes.layout)


def native_moments(layout, x, mask):
    """Moments of each row, from one read of x."""
    count, mean, variance, residual = native.moments(x, mask, layout)
    count, residual = map(tf.stop_gradient, (count, residual))
    return Moments(count, mean, variance, residual, layout.examples)


class NativeGroupNorm:
    """Group norm as a whole, example by example in the cache: one kernel."""

    def __init__(self, passes):
        self.passes = passes
        pooled = passes.coefficients
        activation = native.activation(passes.activation)
        axis = passes.layout.axis
        self._how = (pooled.groups, pooled.epsilon, activation, axis)

    @staticmethod
    def fits(passes, parameters):
        return (
            isinstance(passes.coefficients, PooledAffine)
            and passes.mask is None
            and passes.layout.examples == 1
            # Without positions the composed algebra has finite gradients.
            and 0 not in passes.layout.sizes
            and isinstance(passes.coefficients.epsilon, numbers.Real)
            and set(parameters) <= {"gamma", "beta"}
            and all(
                p.shape == [passes.layout.channels]
                for p in parameters.values()
            )
            and native.activation(passes.activation) is not None
        )

    def forward(self, x, parameters, _):
        affine = parameters.get("gamma"), parameters.get("beta")
        y, *moments = native.group_norm(x, *affine, *self._how)
        # What a graph saves is differentiated where the gradient is; through
        # these there is no derivative, the second is the composed passes'.
        moments = [tf.stop_gradient(each) for each in moments]
        saved = affine, moments, list(parameters)
        return (tf.cast(y, self.passes.dtype), ()), saved

    def backward(self, x, dy, saved, _):
        affine, moments, names = saved
        dx, d_gamma, d_beta = native.group_norm_gradient(
            x, tf.cast(dy, x.dtype), *affine, *moments, *self._how
        )
        d_parameters = {"gamma": d_gamma, "beta": d_beta}
        return dx, *(d_parameters[name] for name in names)
