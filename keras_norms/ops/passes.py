"""The two passes, as steps that their gradient shares."""

from keras import ops

from keras_norms.ops.coefficients import Coefficients
from keras_norms.ops.instance_moments import find_pivot
from keras_norms.ops.instance_moments import shifted_moments
from keras_norms.ops.tables import as_float


class Passes:
    """The two passes, as steps that their gradient shares."""

    def __init__(
        self, layout, mask, coefficients, statistics, activation, dtype
    ):
        self.layout = layout
        # The kernels have one mask for all channels.
        self.has_kernels = not layout.has_channels(mask)
        self.mask = layout.mask(mask)
        self.coefficients = coefficients
        self.statistics = statistics
        self.activation = activation
        self.dtype = dtype

    def view(self, x):
        """x in the dtype of statistics; what is masked is made finite."""
        view = self.layout.view(as_float(x))
        if self.mask is None:
            return view
        keep = ops.logical_or(self.mask, ops.isfinite(view))
        return ops.where(keep, view, 0.0)

    def shift(self, view, pivot):
        return view - self.layout.spread(pivot)

    def algebra(self, moments, parameters):
        """Whole tables of coefficients, and the extras."""
        result = self.coefficients(moments, **parameters)
        if isinstance(result, Coefficients):
            result = result, ()
        pair = isinstance(result, tuple) and len(result) == 2
        if not pair or not isinstance(result[0], Coefficients):
            raise ValueError(
                "The algebra must return `Coefficients(center, scale, shift)`"
                f", or a pair of these and extras. Received: "
                f"{type(result).__name__}. "
                "`keras_norms.ops.affine(moments, ...)` makes the usual ones."
            )
        tables, extras = result
        return Coefficients(*map(self.layout.whole, tables)), extras

    def line(self, pivot, tables):
        """Scale and shift of `x - pivot`, spread over x."""
        shift = tables.shift - (tables.center - pivot) * tables.scale
        spread = self.layout.spread_all
        return spread(tables.scale), spread(shift)

    def output(self, linear):
        if self.activation is not None:
            linear = self.activation(linear)
        return ops.cast(self.layout.restore(linear), self.dtype)

    def forward(self, x, parameters, algebra):
        """`(y, extras)` and the tables that the gradient needs."""
        view = self.view(x)
        if self.statistics:
            pivot = find_pivot(self.layout, view, self.mask)
            shifted = self.shift(view, pivot)
            moments = shifted_moments(self.layout, shifted, pivot, self.mask)
            tables, extras = algebra(moments, parameters)
        else:
            moments = None
            tables, extras = algebra(moments, parameters)
            pivot = ops.stop_gradient(tables.center)
            shifted = self.shift(view, pivot)
        scale, shift = self.line(pivot, tables)
        y = self.output(shifted * scale + shift)
        return (y, extras), (pivot, tables, scale, shift)
