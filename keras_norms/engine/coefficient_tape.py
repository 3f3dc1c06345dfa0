"""Runs the algebra of a normalization and computes its gradient."""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_norms.engine.params import Params
from keras_norms.native import differentiation
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import reciprocal
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


class CoefficientTape:
    """Computes the coefficients of an algebra, and their gradient.

    The tensors of an algebra are small, `[rows, channels]`, so automatic
    differentiation costs little, and no layer defines a gradient.

    Args:
        algebra: the algebra of a `NormSpec`.
        moments: the moments of x, or `None` if the algebra reads none.
        params: the tensors that the algebra reads besides the moments.
        broadcast: broadcasts coefficients to all rows and channels.
    """

    def __init__(
        self,
        algebra: Callable[[Any, Params], Coefficients],
        moments: Moments | None,
        params: Params,
        broadcast: Callable[[Coefficients], Coefficients],
    ) -> None:
        self._moments = moments
        self._tape = differentiation.new_tape()
        if self._tape is None:
            self.coefficients = broadcast(_run(algebra, moments, params))
            return
        # In a graph, the gradient would also follow paths between sources
        # outside of the algebra. Copies are computed from no other source.
        copies = {
            n: differentiation.copy(t) for n, t in params.present().items()
        }
        params = params.replace(**copies)
        self._sources = [t for t in copies.values() if _is_float(t)]
        if moments is not None:
            moments = dataclasses.replace(
                moments,
                mean=differentiation.copy(moments.mean),
                variance=differentiation.copy(moments.variance),
            )
            self._sources = [moments.mean, moments.variance, *self._sources]
        with self._tape:
            self._tape.watch(self._sources)
            self.coefficients = broadcast(_run(algebra, moments, params))

    def gradient(
        self,
        d_scale: Tensor,
        d_shift: Tensor,
        d_outputs: Sequence[Tensor],
        origin: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
        """Computes the gradients of the moments and of the parameters.

            slope = 2 d variance / count
            offset = d mean / count + slope (origin - mean - residual)

        The moments contribute `(x - origin) slope + offset` to dx, which
        pass 4 adds.

        Args:
            d_scale: the gradient of scale.
            d_shift: that of shift. That of center is `-d_shift scale`.
            d_outputs: those of the outputs, in the order of their names.
            origin: what pass 4 subtracts from x.

        Returns: slope and offset, which are `None` without moments, and the
            gradients of the floating-point parameters.
        """
        d_center = -d_shift * self.coefficients.scale
        gradients = self._tape.gradient(
            [*self.coefficients, *self.coefficients.sorted_outputs()],
            self._sources,
            [d_center, d_scale, d_shift, *d_outputs],
            unconnected_gradients="zero",
        )
        moments = self._moments
        if moments is None:
            return None, None, gradients
        d_mean, d_variance, *gradients = gradients
        reciprocal_count = reciprocal(column(moments.count), d_mean.dtype)
        slope = 2.0 * d_variance * reciprocal_count
        distance = (origin - moments.mean) - moments.residual
        # Coefficients that `choose` does not select have slope 0, but their
        # mean may not be finite, and dx must be.
        distance = differentiation.multiply_no_nan(distance, slope)
        return slope, d_mean * reciprocal_count + distance, gradients


def _run(
    algebra: Callable[[Any, Params], Coefficients],
    moments: Moments | None,
    params: Params,
) -> Coefficients:
    coefficients = algebra(moments, params)
    if not isinstance(coefficients, Coefficients):
        raise ValueError(
            "The algebra must return `Coefficients(center, scale, shift)`. "
            f"Received: {type(coefficients).__name__}. "
            "`keras_norms.ops.affine(moments, ...)` computes the usual ones."
        )
    return coefficients


def _is_float(tensor: Tensor) -> bool:
    return "float" in ops.dtype(tensor)
