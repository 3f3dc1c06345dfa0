"""Normalization of each channel, with its gradient written out."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_norms.engine.fused_norm import fills_rows
from keras_norms.engine.fused_norm import gradients_of
from keras_norms.engine.fused_norm import is_affine
from keras_norms.engine.fused_norm import pooled_affine
from keras_norms.engine.native_backend import NativeBackend
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native.tracing import traced_once
from keras_norms.statistics import replicas
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.affine import affine_of_rstd
from keras_norms.statistics.affine import rstd
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_scalar
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


class AffineNorm(NativeBackend):
    """Masked or synchronized normalization of each channel, in two passes.

    With g the gradient before the activation, and D and E the sums of g and of
    g (x - mean) rstd over a row of n positions:

        d beta = D, d gamma = E
        dx = scale (g - D / n - (x - mean) rstd E / n)

    If replicas share statistics, dx follows from the sums over these replicas,
    and d gamma and d beta from those of this replica.

    Written out, the gradient has fewer operations than the one that automatic
    differentiation of the algebra gives.
    """

    @staticmethod
    def supports(spec: NormSpec, x: Tensor, mask: Any, params: Params) -> bool:
        """Whether the algebra is `affine`, without groups, of full rows."""
        return (
            is_affine(spec, x, params)
            and pooled_affine(spec).groups == -1
            and (
                spec.examples_per_row is None
                or fills_rows(spec.examples_per_row, x.shape[0])
            )
        )

    def forward(
        self, x: Tensor, params: Params
    ) -> tuple[Tensor, Any, Mapping[str, Tensor], Any]:
        algebra: Any = self.spec.algebra
        options = pooled_affine(self.spec)
        moments, _ = self.moments(x)
        # A number would have functions traced for each size of x.
        moments.count = tf.convert_to_tensor(moments.count)
        # The graph would differentiate these tensors.
        moments.mean = tf.stop_gradient(moments.mean)
        moments.variance = tf.stop_gradient(moments.variance)
        merged = moments.across_replicas(
            options.replicas_per_group, constant=True
        )
        scale, shift, reciprocal_std = _coefficients(
            merged.count,
            merged.mean,
            merged.variance,
            merged.residual,
            params.gamma,
            params.beta,
            options.epsilon,
        )
        y, coefficients = self.apply(
            x, Coefficients(merged.mean, scale, shift), None
        )
        updates = algebra.updates(moments, merged, params)
        saved = coefficients, merged, reciprocal_std, params.present()
        return y, updates, {}, saved

    def backward(
        self, x: Tensor, dy: Tensor, d_outputs: Sequence[Tensor], saved: Any
    ) -> tuple[Tensor, list[Tensor]]:
        coefficients, merged, reciprocal_std, present = saved
        per_group = pooled_affine(self.spec).replicas_per_group
        sums = self.gradient_sums(x, dy, coefficients)
        statistics = merged.count, merged.residual, reciprocal_std
        totals, d_gamma, d_beta = _affine_gradients(
            sums.scale, sums.shift, *statistics
        )
        if per_group != 1:
            totals = replicas.total_of_group(totals, per_group)
        slope, offset = _slope_and_offset(
            totals, coefficients.scale, *statistics
        )
        dx = self.gradient_combine(sums, slope, offset)
        return dx, gradients_of(present, d_gamma, d_beta)


@traced_once
def _coefficients(
    count: Tensor,
    mean: Tensor,
    variance: Tensor,
    residual: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, shift and rstd of each row and channel."""
    moments = Moments(count, mean, variance, residual)
    reciprocal_std = rstd(moments, epsilon)
    _, scale, shift = affine_of_rstd(moments, reciprocal_std, gamma, beta)
    return scale, shift, reciprocal_std


@traced_once
def _affine_gradients(
    d_scale: Tensor,
    d_shift: Tensor,
    count: Tensor,
    residual: Tensor,
    reciprocal_std: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """D and E of each row, side by side, d gamma and d beta."""
    if not is_scalar(count):
        # The scale and the shift of empty rows are 0, whatever gamma and beta.
        present = column(count) > 0
        d_scale = tf.where(present, d_scale, 0.0)
        d_shift = tf.where(present, d_shift, 0.0)
    d_scale = (d_scale - residual * d_shift) * reciprocal_std
    sums = tf.concat([d_shift, d_scale], axis=1)
    return sums, tf.reduce_sum(d_scale, 0), tf.reduce_sum(d_shift, 0)


@traced_once
def _slope_and_offset(
    sums: Tensor,
    scale: Tensor,
    count: Tensor,
    residual: Tensor,
    reciprocal_std: Tensor,
) -> tuple[Tensor, Tensor]:
    """dx is `scale g + slope (x - center) + offset`."""
    d_shift, d_scale = tf.split(sums, 2, axis=1)
    factor = -scale * reciprocal(column(count), scale.dtype)
    # In this order, no product leaves the range of float32.
    slope = factor * (reciprocal_std * d_scale)
    return slope, factor * d_shift - residual * slope
