"""The passes as operations of Keras: the reference, on every backend."""

from typing import NamedTuple

from keras import ops

from keras_norms.engine.backend import Backend
from keras_norms.engine.backend import GradientSums
from keras_norms.engine.layout import Layout
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.arrays import materialized
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.arrays import row_counts
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


class _Shifted(NamedTuple):
    values: Tensor  # x - pivot, in the dtype of the statistics
    pivot: Tensor  # [rows, channels]


class _Saved(NamedTuple):
    pivot: Tensor
    coefficients: Coefficients
    scale: Tensor  # of x - pivot, with the rank of x
    shift: Tensor


class ComposedBackend(Backend):
    """Every pass reads `x - pivot`, where pivot is close to the mean.

    Sums of shifted values keep the digits of the standard deviation, however
    large the mean is.
    """

    def moments(self, x: Tensor) -> tuple[Moments, _Shifted]:
        view = self._view(x)
        pivot = _pivot(self.layout, view, self.mask)
        values = view - self.layout.expand(pivot)
        moments = _shifted_moments(self.layout, values, pivot, self.mask)
        return moments, _Shifted(values, pivot)

    def apply(
        self, x: Tensor, coefficients: Coefficients, reusable: _Shifted | None
    ) -> tuple[Tensor, _Saved]:
        if reusable is None:
            pivot = ops.stop_gradient(coefficients.center)
            view = self._view(x)
            reusable = _Shifted(view - self.layout.expand(pivot), pivot)
        pivot = reusable.pivot
        distance = coefficients.center - pivot
        shift = coefficients.shift - distance * coefficients.scale
        scale = self.layout.expand_materialized(coefficients.scale)
        shift = self.layout.expand_materialized(shift)
        y = reusable.values * scale + shift
        if self.spec.activation is not None:
            y = self.spec.activation(y)
        y = ops.cast(self.layout.restore(y), self.spec.dtype)
        return y, _Saved(pivot, coefficients, scale, shift)

    def gradient_sums(
        self, x: Tensor, dy: Tensor, saved: _Saved
    ) -> GradientSums:
        pivot, coefficients, scale, shift = saved
        values = self._view(x) - self.layout.expand(pivot)
        dy = self.layout.view(ops.cast(dy, statistics_dtype(x.dtype)))
        if self.spec.activation is not None:
            linear = values * scale + shift
            dy = self._before_activation(linear, dy)
        d_shift = self.layout.sum(dy)
        distance = coefficients.center - pivot
        d_scale = self.layout.sum(dy * values) - distance * d_shift
        large = values, dy, scale, x.dtype
        return GradientSums(d_scale, d_shift, pivot, large)

    def gradient_combine(
        self, sums: GradientSums, slope: Tensor | None, offset: Tensor | None
    ) -> Tensor:
        values, dy, scale, dtype = sums.large
        dx = dy * scale
        if slope is not None:
            expand = self.layout.expand_materialized
            through = values * expand(slope) + expand(offset)
            if self.mask is not None:
                through = ops.where(self.mask, through, 0.0)
            dx = dx + through
        return ops.cast(self.layout.restore(dx), dtype)

    def _view(self, x: Tensor) -> Tensor:
        """x in the dtype of the statistics; masked values are made finite."""
        view = self.layout.view(ops.cast(x, statistics_dtype(x.dtype)))
        if self.mask is None:
            return view
        usable = ops.logical_or(self.mask, ops.isfinite(view))
        return ops.where(usable, view, 0.0)


def _pivot(layout: Layout, view: Tensor, mask: Tensor | None) -> Tensor:
    """A value near the mean of each row and channel, `[rows, channels]`.

    Differences from it are of the size of the standard deviation, so float32
    keeps the digits of the standard deviation, however large the mean is. The
    pivot is one value of the row plus the mean difference of the row's sample
    from that value. If a row is constant, the pivot equals that constant
    exactly.
    """
    if mask is None:
        sample = layout.sample(view)
        value = layout.first(sample)
        difference = layout.mean(sample - layout.expand(value))
    else:
        count = layout.sum(ops.cast(mask, view.dtype))
        value = layout.max(view, mask)
        # A masked example is normalized too, with the moments of others.
        value = ops.where(count > 0, value, layout.first(view))
        filling = layout.expand_materialized(value)
        difference = layout.sum(ops.where(mask, view, filling) - filling)
        difference = difference * reciprocal(count, view.dtype)
    # The pivot stays finite for inputs that are not, because other moments,
    # such as the running ones, may normalize them.
    pivot = ops.stop_gradient(value + difference)
    return materialized(ops.where(ops.isfinite(pivot), pivot, 0.0))


def _shifted_moments(
    layout: Layout, values: Tensor, pivot: Tensor, mask: Tensor | None
) -> Moments:
    """The moments of each row from sums of `values`, which are x - pivot."""
    if mask is None:
        count = layout.count(values)
    else:
        count = layout.sum(ops.cast(mask, pivot.dtype))
        values = ops.where(mask, values, 0.0)
    reciprocal_count = reciprocal(count, pivot.dtype)
    offset = layout.sum(values) * reciprocal_count
    square = layout.sum(ops.square(values)) * reciprocal_count
    mean = materialized(pivot + offset)
    residual = (pivot - mean) + offset
    if mask is not None:
        mean, residual = (
            ops.where(count > 0, t, 0.0) for t in (mean, residual)
        )
        count = row_counts(count)
    return Moments(
        count,
        mean,
        ops.maximum(square - ops.square(offset), 0.0),
        ops.stop_gradient(residual),
        layout.examples,
    )
