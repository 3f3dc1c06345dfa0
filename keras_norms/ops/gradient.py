"""The gradient of the two passes, through small tables, for TensorFlow.

With dy' the gradient before the activation and z = x - pivot,

    pass 3   sum dy', sum dy' z                    one read of x and of dy
    algebra  tape over the tables  ->  d mean, d variance, d parameters
    pass 4   dx = dy' scale + z B + D         one read of each, one write

    B = 2 d variance / count
    D = d mean / count + B (pivot - mean)           both 0 where masked
"""

import tensorflow as tf

from keras_norms.ops.coefficients import Coefficients
from keras_norms.ops.layout import inverse
from keras_norms.ops.tables import column
from keras_norms.ops.tables import statistics_dtype

_STRAYS = (
    "Gradients reach the input and the parameters of the two passes only, and "
    "other variables were read there. Received: {}. Pass them as parameters "
    "(a layer of its own extends the property `parameters`), and apply an "
    "activation that has weights after the layer."
)


def two_passes(passes, x, parameters):
    """`(y, extras)`, differentiable in x and in the parameters."""
    names = list(parameters)

    @tf.custom_gradient
    def run(x, *values):
        # Persistent: the gradient function may be called more than once.
        tape = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        sources = list(values)

        def algebra(moments, parameters):
            if moments:
                sources[:0] = [moments.mean, moments.variance]
            with tape:
                tape.watch(sources)
                return passes.algebra(moments, parameters)

        (y, extras), tables = passes.forward(
            x, dict(zip(names, values, strict=True)), algebra
        )
        extras = tf.nest.map_structure(tf.stop_gradient, extras)

        def gradient(dy, *_, variables=None):
            if variables:
                raise ValueError(_STRAYS.format([v.name for v in variables]))
            # Reading x again only when dy is there keeps the forward's copies
            # of x (its cast to float32, its shift) from being kept for this
            # by common subexpression elimination.
            with tf.control_dependencies([dy]):
                again = tf.identity(x)
            return _gradient(passes, again, dy, *tables, sources, tape)

        return (y, extras), gradient

    return run(x, *parameters.values())


def _gradient(
    passes, x, dy, pivot, moments, tables, scale, shift, sources, tape
):
    layout = passes.layout
    shifted = passes.shift(passes.view(x), pivot)
    dy = layout.view(tf.cast(dy, statistics_dtype(x)))
    if passes.activation is not None:
        linear = shifted * scale + shift
        with tf.GradientTape() as inner:
            inner.watch(linear)
            y = passes.activation(linear)
        dy = inner.gradient(y, linear, dy)
    d_shift = layout.sum(dy)
    d_scale = layout.sum(dy * shifted) - (tables.center - pivot) * d_shift
    d_sources = tape.gradient(
        tables,
        sources,
        Coefficients(-d_shift * tables.scale, d_scale, d_shift),
        unconnected_gradients="zero",
    )
    dx = dy * scale
    if moments:
        d_mean, d_variance, *d_sources = d_sources
        over_count = inverse(column(moments.count), d_mean.dtype)
        b = 2.0 * d_variance * over_count
        offset = (pivot - moments.mean) - moments.residual
        d = d_mean * over_count + b * offset
        through = shifted * layout.spread_all(b) + layout.spread_all(d)
        if passes.mask is not None:
            through = tf.where(passes.mask, through, 0.0)
        dx = dx + through
    return tf.cast(layout.restore(dx), x.dtype), *d_sources
