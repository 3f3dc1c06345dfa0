"""A whole normalization as one kernel, and its gradient as another."""

import numbers
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_norms.engine.native_backend import NativeBackend
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native import ops as native
from keras_norms.native import tracing
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


class FusedNorm(NativeBackend):
    """Group or batch normalization as one kernel.

    The algebra has a `pooled_affine`, which is what the kernel computes. The
    kernel also returns the moments, from which the algebra computes updates.
    A row that fits into the cache is read from memory only once.
    """

    @staticmethod
    def supports(spec: NormSpec, x: Tensor, mask: Any, params: Params) -> bool:
        """Whether the kernel computes this normalization."""
        return (
            is_affine(spec, x, params)
            and pooled_affine(spec).replicas_per_group == 1
            and mask is None
            and fills_rows(spec.examples_per_row, x.shape[0])
            and native.activation(spec.activation) is not None
        )

    def forward(
        self, x: Tensor, params: Params
    ) -> tuple[Tensor, Any, Mapping[str, Tensor], Any]:
        affine = params.gamma, params.beta
        y, *statistics = native.group_norm(x, *affine, **self._attributes())
        # The graph would differentiate these tensors. They are constants,
        # because the composed backend computes second derivatives.
        statistics = [tf.stop_gradient(each) for each in statistics]
        mean, residual, _, variance = statistics
        count = self.layout.count(self.layout.view(x))
        moments = Moments(
            count, mean, variance, residual, self.layout.examples
        )
        algebra: Any = self.spec.algebra
        updates = algebra.updates(moments, moments, params)
        saved = affine, statistics[:3], params.present()
        return tf.cast(y, self.spec.dtype), updates, {}, saved

    def backward(
        self, x: Tensor, dy: Tensor, d_outputs: Sequence[Tensor], saved: Any
    ) -> tuple[Tensor, list[Tensor]]:
        affine, statistics, present = saved
        dx, d_gamma, d_beta = native.group_norm_gradient(
            x,
            tf.cast(dy, x.dtype),
            *affine,
            *statistics,
            **self._attributes(),
        )
        return dx, gradients_of(present, d_gamma, d_beta)

    def _attributes(self) -> dict[str, Any]:
        affine = pooled_affine(self.spec)
        return {
            "groups": affine.groups,
            "epsilon": affine.epsilon,
            "activation": self.activation,
            "layout": self.layout,
        }


def gradients_of(
    present: Mapping[str, Tensor], d_gamma: Tensor, d_beta: Tensor
) -> list[Tensor]:
    """The gradients of the floating-point parameters, in their order."""
    gradients = {"gamma": d_gamma, "beta": d_beta}
    return [
        gradients[name] if name in gradients else tf.zeros_like(tensor)
        for name, tensor in present.items()
        if tensor.dtype.is_floating
    ]


def pooled_affine(spec: NormSpec) -> Any:
    """The algebra as a `PooledAffine`, or `None`."""
    return getattr(spec.algebra, "pooled_affine", None)


def is_affine(spec: NormSpec, x: Tensor, params: Params) -> bool:
    """Whether the algebra is a `PooledAffine` that kernels can compute."""
    affine = pooled_affine(spec)
    return (
        affine is not None
        # Without positions, only the composed algebra has finite gradients.
        and 0 not in x.shape
        and isinstance(affine.epsilon, numbers.Real)
        and all(
            weight.shape == [x.shape[spec.axis]]
            for name, weight in params.present().items()
            if name in ("gamma", "beta")
        )
    )


def fills_rows(examples: int | None, batch: int | None) -> bool:
    """Whether each row has this number of examples, and nothing else."""
    if examples == 1:
        return True
    if batch is None:
        # XLA pads a batch whose size depends on values.
        return examples is None and not tracing.compiling()
    return examples is None or batch % examples == 0
