"""The gradient of the two passes, through small tables, for TensorFlow.

With dy' the gradient before the activation and z = x - pivot,

    pass 3   sum dy', sum dy' z                    one read of x and of dy
    algebra  tape over the tables  ->  d mean, d variance, d parameters
    pass 4   dx = dy' scale + z B + D         one read of each, one write

    B = 2 d variance / count
    D = d mean / count + B (pivot - mean)           both 0 where masked
"""

import dataclasses

import tensorflow as tf

from keras_norms.ops import native
from keras_norms.ops import tracing
from keras_norms.ops.coefficients import Coefficients
from keras_norms.ops.layout import inverse
from keras_norms.ops.native_ops import activation
from keras_norms.ops.native_passes import NativeGroupNorm
from keras_norms.ops.native_passes import NativePasses
from keras_norms.ops.tables import as_float
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
    if not (passes.has_kernels and native.runs(x)):
        return _run(ComposedGradient(passes), x, parameters)
    if passes.dtype != x.dtype.name or activation(passes.activation) is None:
        # The line is not rounded to x's 16 bits on its way.
        x = as_float(x)
    if NativeGroupNorm.fits(passes, parameters):
        way = NativeGroupNorm(passes)
    else:
        way = NativePasses(passes)
    return _run(way, x, parameters, again=ComposedGradient(passes))


def _run(way, x, parameters, again=None):
    """One way to run. Where its gradient has none, `again` has."""
    names = list(parameters)

    @tracing.custom_gradient
    def run(x, *values):
        algebra = Algebra(way.passes)
        (y, extras), saved = way.forward(
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
                x_again = tf.identity(x)

            def first(x, dy, *values):
                return way.backward(x, dy, saved, algebra)

            if again is not None:
                first = _differentiable(first, again, names)
            # In another graph, the copies are what it can differentiate.
            return first(x_again, dy, *map(tf.identity, values))

        return (y, extras), gradient

    return run(x, *parameters.values())


def _differentiable(first, way, names):
    """A gradient whose own gradient is that of another way's."""

    @tracing.custom_gradient
    def run(x, dy, *values):
        def second(*upstream):
            # Copies, since a loop's gradient reads x from another graph, and
            # no tape sees that read.
            sources = [tf.identity(each) for each in (x, dy, *values)]
            here, dy_here, *values_here = sources
            with tf.GradientTape() as outer:
                outer.watch(sources)
                with tf.GradientTape() as inner:
                    inner.watch([here, *values_here])
                    parameters = dict(zip(names, values_here, strict=True))
                    y, _ = _run(way, here, parameters)
                gradients = inner.gradient(
                    y,
                    [here, *values_here],
                    dy_here,
                    unconnected_gradients="zero",
                )
            return outer.gradient(
                gradients, sources, upstream, unconnected_gradients="zero"
            )

        return first(x, dy, *values), second

    return run


class Algebra:
    """The algebra of tables, and the tape that differentiates it."""

    def __init__(self, passes):
        self._passes = passes
        self._moments = None
        self._tape = tracing.GraphTape.here() or tf.GradientTape(
            # A gradient may be taken more than once.
            persistent=True,
            watch_accessed_variables=False,
        )

    def __call__(self, moments, parameters):
        self._moments = moments
        # Copies, so that in a graph no source is computed from another.
        sources = {n: tf.identity(value) for n, value in parameters.items()}
        mine = moments and dataclasses.replace(
            moments,
            mean=tf.identity(moments.mean),
            variance=tf.identity(moments.variance),
        )
        self._sources = [mine.mean, mine.variance] if mine else []
        self._sources += sources.values()
        with self._tape:
            self._tape.watch(self._sources)
            self._tables, extras = self._passes.algebra(mine, sources)
        return self._tables, extras

    def gradient(self, d_tables, pivot):
        """Tables B and D, None without moments, and d parameters."""
        d_sources = self._tape.gradient(
            self._tables,
            self._sources,
            d_tables,
            unconnected_gradients="zero",
        )
        moments = self._moments
        if not moments:
            return None, None, d_sources
        d_mean, d_variance, *d_sources = d_sources
        over_count = inverse(column(moments.count), d_mean.dtype)
        b = 2.0 * d_variance * over_count
        offset = (pivot - moments.mean) - moments.residual
        # A branch that is not taken gives 0, also of moments not finite.
        offset = tf.math.multiply_no_nan(offset, b)
        return b, d_mean * over_count + offset, d_sources


class ComposedGradient:
    """The composed passes, with their gradient: TensorFlow's operations."""

    def __init__(self, passes):
        self.passes = passes

    def forward(self, x, parameters, algebra):
        return self.passes.forward(x, parameters, algebra)

    def backward(self, x, dy, saved, algebra):
        """dx, and the gradients of the parameters."""
        passes, layout = self.passes, self.passes.layout
        pivot, tables, scale, shift = saved
        shifted = passes.shift(passes.view(x), pivot)
        dy = layout.view(tf.cast(dy, statistics_dtype(x)))
        if passes.activation is not None:
            linear = shifted * scale + shift
            dy = before_activation(passes.activation, linear, dy)
        d_shift = layout.sum(dy)
        d_scale = layout.sum(dy * shifted) - (tables.center - pivot) * d_shift
        d_tables = Coefficients(-d_shift * tables.scale, d_scale, d_shift)
        b, d, d_parameters = algebra.gradient(d_tables, pivot)
        dx = dy * scale
        if b is not None:
            through = shifted * layout.spread_all(b) + layout.spread_all(d)
            if passes.mask is not None:
                through = tf.where(passes.mask, through, 0.0)
            dx = dx + through
        return tf.cast(layout.restore(dx), x.dtype), *d_parameters


def before_activation(activation, linear, dy):
    """The gradient of what an activation was given."""
    with tf.GradientTape() as tape:
        tape.watch(linear)
        y = activation(linear)
    return tape.gradient(y, linear, dy)
