"""The interface of the backends, which compute the passes."""

import abc
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from keras_norms.engine.coefficient_tape import CoefficientTape
from keras_norms.engine.layout import Layout
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


class GradientSums(NamedTuple):
    """The result of pass 3."""

    scale: Tensor  # the gradient of scale: the sum of dy' (x - center)
    shift: Tensor  # the gradient of shift: the sum of dy'
    origin: Tensor  # [rows, channels]; what pass 4 subtracts from x
    large: Any  # tensors of the size of x that pass 4 reads


class Backend(abc.ABC):
    """Computes y, and the gradients of x and of the parameters.

    dy' is the gradient with respect to the input of the activation.

        pass 1   moments of x                              reads x
        algebra  center, scale, shift                      small tensors
        pass 2   y                                         reads x, writes y
        pass 3   sum of dy', sum of dy' (x - center)       reads x and dy
        algebra  gradients of the moments and parameters   small tensors
        pass 4   dx                                        reads both, writes

    A subclass implements the four passes. A backend serves one x: it is
    created where x, the mask and their sizes are known.

    Args:
        spec: a `NormSpec`.
        x: a tensor `[batch, ...]`.
        mask: as in `keras_norms.ops.normalize`, or `None`.
    """

    def __init__(self, spec: NormSpec, x: Tensor, mask: Tensor | None):
        self.spec = spec
        self.layout = Layout(x, spec.axis, spec.examples_per_row)
        self.mask = self.layout.mask(mask)

    @abc.abstractmethod
    def moments(self, x: Tensor) -> tuple[Moments, Any]:
        """Pass 1: the moments of each row, and what pass 2 can reuse."""

    @abc.abstractmethod
    def apply(
        self, x: Tensor, coefficients: Coefficients, reusable: Any
    ) -> tuple[Tensor, Any]:
        """Pass 2: y, and the small tensors that passes 3 and 4 need."""

    @abc.abstractmethod
    def gradient_sums(self, x: Tensor, dy: Tensor, saved: Any) -> GradientSums:
        """Pass 3: the gradients of the coefficients."""

    @abc.abstractmethod
    def gradient_combine(
        self, sums: GradientSums, slope: Tensor | None, offset: Tensor | None
    ) -> Tensor:
        """Pass 4: dx = dy' scale + (x - origin) slope + offset."""

    def forward(
        self, x: Tensor, params: Params
    ) -> tuple[Tensor, Any, Mapping[str, Tensor], Any]:
        """y, updates and outputs of the algebra, and what `backward` needs."""
        moments, reusable = None, None
        if self.spec.needs_moments:
            moments, reusable = self.moments(x)
        tape = CoefficientTape(
            self.spec.algebra, moments, params, self.layout.broadcast_rows
        )
        y, saved = self.apply(x, tape.coefficients, reusable)
        updates, outputs = tape.coefficients.updates, tape.coefficients.outputs
        return y, updates, outputs, (tape, saved)

    def backward(
        self, x: Tensor, dy: Tensor, d_outputs: Sequence[Tensor], saved: Any
    ) -> tuple[Tensor, list[Tensor]]:
        """dx, and the gradients of the parameters in their order."""
        tape, saved = saved
        sums = self.gradient_sums(x, dy, saved)
        slope, offset, gradients = tape.gradient(
            sums.scale, sums.shift, d_outputs, sums.origin
        )
        return self.gradient_combine(sums, slope, offset), gradients

    def _before_activation(self, linear: Tensor, dy: Tensor) -> Tensor:
        """The gradient of the input of the activation."""
        import tensorflow as tf

        activation: Any = self.spec.activation
        with tf.GradientTape() as tape:
            tape.watch(linear)
            y = activation(linear)
        return tape.gradient(y, linear, dy)
