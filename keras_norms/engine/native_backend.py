"""The passes as kernels of the native library."""

import tensorflow as tf

from keras_norms.engine.backend import Backend
from keras_norms.engine.backend import GradientSums
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native import ops as native
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


class NativeBackend(Backend):
    """One kernel for each pass.

    An activation that the library does not have is applied by TensorFlow
    after pass 2. Its gradient recomputes pass 2 without the activation.
    """

    def __init__(self, spec: NormSpec, x: Tensor, mask: Tensor | None):
        super().__init__(spec, x, mask)
        self.activation = native.activation(spec.activation)

    @classmethod
    def specialized(
        cls, spec: NormSpec, x: Tensor, mask: Tensor | None, params: Params
    ) -> type["NativeBackend"]:
        """The class that needs no tape for the algebra, if there is one."""
        # Those classes are subclasses of this one.
        from keras_norms.engine.affine_norm import AffineNorm
        from keras_norms.engine.fused_norm import FusedNorm

        for kind in (FusedNorm, AffineNorm):
            if kind.supports(spec, x, mask, params):
                return kind
        return cls

    @staticmethod
    def cast_input(spec: NormSpec, x: Tensor) -> Tensor:
        """x as the kernels read it.

        They write y in the dtype of x. If y has another dtype, or if an
        activation is applied after the kernel, x must have 32 bits, because 16
        bits would round the result before the last step.
        """
        other = spec.dtype != x.dtype.name
        if other or native.activation(spec.activation) is None:
            return tf.cast(x, statistics_dtype(x.dtype))
        return x

    def moments(self, x: Tensor) -> tuple[Moments, None]:
        count, mean, variance, residual = native.moments(
            x, self.mask, self.layout
        )
        if self.mask is None:
            count = self.layout.count(self.layout.view(x))
        else:
            count = tf.stop_gradient(count)
        residual = tf.stop_gradient(residual)
        examples = self.layout.examples
        return Moments(count, mean, variance, residual, examples), None

    def apply(
        self, x: Tensor, coefficients: Coefficients, reusable: None
    ) -> tuple[Tensor, Coefficients]:
        y = self._apply(x, coefficients, self.activation or "identity")
        if self.activation is None and self.spec.activation is not None:
            y = self.spec.activation(y)
        return tf.cast(y, self.spec.dtype), coefficients

    def gradient_sums(
        self, x: Tensor, dy: Tensor, saved: Coefficients
    ) -> GradientSums:
        dy = tf.cast(dy, x.dtype)
        activation = self.activation
        if activation is None:
            linear = self._apply(x, saved, "identity")
            dy = self._before_activation(linear, dy)
            activation = "identity"
        d_shift, d_scale = native.gradient_sums(
            x, dy, self.mask, saved, activation, self.layout
        )
        large = x, dy, saved, activation
        return GradientSums(d_scale, d_shift, saved.center, large)

    def gradient_combine(
        self, sums: GradientSums, slope: Tensor | None, offset: Tensor | None
    ) -> Tensor:
        x, dy, coefficients, activation = sums.large
        arguments = x, dy, self.mask, coefficients, activation, self.layout
        return native.gradient_combine(*arguments, slope, offset)

    def _apply(
        self, x: Tensor, coefficients: Coefficients, activation: str
    ) -> Tensor:
        return native.apply(
            x, self.mask, coefficients, activation, self.layout
        )
