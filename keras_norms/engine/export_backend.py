"""The forward passes with few operations, for graphs that others convert.

Converters fuse `x * scale + shift` with a convolution before it, and quantize
each tensor by its range. The residual of a mean has the range of rounding
errors, so it is left out here. Means are subtracted from x, which is accurate
enough unless they are far above the standard deviation.
"""

from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_norms.engine.composed import ComposedBackend
from keras_norms.engine.params import Params
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.arrays import UNTRACKED
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.arrays import row_counts
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


class ExportBackend(ComposedBackend):
    """Computes y. TensorFlow differentiates its operations."""

    def forward(
        self, x: Tensor, params: Params
    ) -> tuple[Tensor, Any, Mapping[str, Tensor], Any]:
        algebra = self.spec.algebra
        if isinstance(algebra, PooledAffine) and self.mask is None:
            return self._group_normalized(x, algebra, params), {}, {}, None
        return super().forward(x, params)

    def moments(self, x: Tensor) -> tuple[Moments, Any]:
        layout, view = self.layout, self._view(x)
        count, mask = layout.count(view), self.mask
        if mask is not None:
            count = layout.sum(ops.cast(mask, view.dtype))

        def average(values: Tensor) -> Tensor:
            if mask is None:
                return layout.plain_mean(values)
            total = layout.sum(ops.where(mask, values, 0.0))
            return total * reciprocal(count, view.dtype)

        mean = average(view)
        variance = average(ops.square(view - layout.expand(mean)))
        if mask is not None:
            count = row_counts(count)
        return Moments(count, mean, variance, UNTRACKED, layout.examples), None

    def apply(
        self, x: Tensor, coefficients: Coefficients, reusable: Any
    ) -> tuple[Tensor, Any]:
        view, expand = self._view(x), self.layout.expand
        center, scale, shift = coefficients
        if self.spec.needs_moments:
            y = (view - expand(center)) * expand(scale) + expand(shift)
        else:
            # The form that converters fuse.
            y = view * expand(scale) + expand(shift - center * scale)
        return self._finished(self.layout.restore(y)), None

    def _group_normalized(
        self, x: Tensor, algebra: PooledAffine, params: Params
    ) -> Tensor:
        layout, (_, *sizes) = self.layout, ops.shape(x)
        before, after = sizes[: layout.axis - 1], sizes[layout.axis :]
        groups = layout.channels if algebra.groups == -1 else algebra.groups
        grouped = ops.reshape(
            ops.cast(x, statistics_dtype(x.dtype)),
            (-1, *before, groups, layout.channels // groups, *after),
        )
        axes = [a for a in range(1, len(grouped.shape)) if a != layout.axis]
        centered = grouped - ops.mean(grouped, axes, keepdims=True)
        variance = ops.mean(ops.square(centered), axes, keepdims=True)
        y = centered * ops.rsqrt(variance + algebra.epsilon)
        y = ops.reshape(y, (-1, *sizes))
        if params.gamma is not None:
            y = y * layout.expand(params.gamma)
        if params.beta is not None:
            y = y + layout.expand(params.beta)
        return self._finished(y)

    def _finished(self, y: Tensor) -> Tensor:
        if self.spec.activation is not None:
            y = self.spec.activation(y)
        return ops.cast(y, self.spec.dtype)
