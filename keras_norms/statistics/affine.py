"""Coefficients: the center, scale and shift that an algebra returns."""

import dataclasses
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_number
from keras_norms.statistics.arrays import is_scalar
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Coefficients:
    """The result of an algebra.

    ```
    y = activation((x - center) * scale + shift)
    ```

    Args:
        center: Tensor `[rows, channels]`, or one that broadcasts to it.
        scale: Tensor `[rows, channels]`, or one that broadcasts to it.
        shift: Tensor `[rows, channels]`, or one that broadcasts to it.
        updates: Other results of the algebra, such as new values of the
            layer's non-trainable weights, by name. No gradient flows through
            them. Defaults to `{}`.
        outputs: Tensors `[rows, channels]`, by name, that
            `transform_output` of a layer reads. Gradients flow through them.
            Defaults to `{}`.
    """

    center: Tensor
    scale: Tensor
    shift: Tensor
    updates: Any = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.center, self.scale, self.shift))

    def sorted_outputs(self) -> list[Tensor]:
        """The outputs in the order of their names, as TensorFlow has them."""
        return [self.outputs[name] for name in sorted(self.outputs)]

    def with_updates(self, updates: Mapping[str, Tensor]) -> "Coefficients":
        """These coefficients, with other updates."""
        return dataclasses.replace(self, updates=updates)


def affine(
    moments: Moments,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Any = 1e-3,
) -> Coefficients:
    """Coefficients of the usual normalization.

    ```
    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta
    ```

    Masking: Empty rows get scale 0 and shift 0.

    Args:
        moments: `Moments`.
        gamma: Tensor that broadcasts to `[rows, channels]`, or `None` for 1.
            Defaults to `None`.
        beta: Tensor that broadcasts to `[rows, channels]`, or `None` for 0.
            Defaults to `None`.
        epsilon: Float or tensor that is added to the variance. Defaults to
            `1e-3`.

    Returns:
        `Coefficients`.
    """
    return affine_of_rstd(moments, rstd(moments, epsilon), gamma, beta)


def affine_of_rstd(
    moments: Moments,
    scale: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
) -> Coefficients:
    """`affine`, where the scale without gamma is known."""
    if gamma is not None:
        scale = scale * gamma
    if is_number(moments.residual, 0):
        shift = ops.zeros_like(scale) if beta is None else beta
    else:
        shift = moments.residual * scale
        shift = -shift if beta is None else beta - shift
    return where_present(moments, Coefficients(moments.mean, scale, shift))


def rstd(moments: Moments, epsilon: Any) -> Tensor:
    """`1 / sqrt(variance + epsilon)`, finite for empty rows.

    Their variance is 0, where the root has no gradient without an epsilon. It
    is not `rsqrt`, because XLA's gradient of that cubes it, which leaves the
    range of float32 for standard deviations of 1e13.
    """
    count, variance = column(moments.count), moments.variance
    may_be_empty = not isinstance(count, (int, float)) or count == 0
    if may_be_empty and not (isinstance(epsilon, (int, float)) and epsilon):
        variance = ops.where(count > 0, variance, 1.0)
    return 1.0 / ops.sqrt(variance + epsilon)


@dataclasses.dataclass(frozen=True)
class PooledAffine:
    """`affine` of each example's moments, pooled over groups of channels.

    The native library has this algebra as one kernel.

    Args:
        groups: Integer, the number of groups. `-1` means one channel per
            group.
        epsilon: Float that is added to the variance.
        replicas_per_group: Integer, the number of neighboring replicas whose
            moments are merged, or `None` for all. Defaults to `1`.
    """

    groups: int
    epsilon: float
    replicas_per_group: int | None = 1

    def __call__(self, moments: Moments, params: Any) -> Coefficients:
        moments = moments.across_replicas(self.replicas_per_group)
        moments = moments.pool(groups=self.groups)
        return affine(moments, params.gamma, params.beta, self.epsilon)

    @property
    def pooled_affine(self) -> "PooledAffine":
        """What the kernel computes: this algebra."""
        return self

    def updates(
        self, moments: Moments, merged: Moments, params: Any
    ) -> dict[str, Tensor]:
        """The updates of the coefficients.

        `merged` are the moments across replicas.
        """
        return {}


def where_present(
    moments: Moments, coefficients: Coefficients
) -> Coefficients:
    """Sets scale and shift to 0 in empty rows.

    Args:
        moments: `Moments`, whose counts say which rows are empty.
        coefficients: `Coefficients` of these rows.

    Returns:
        `Coefficients`.
    """
    # A scalar count is a count without a mask. A row of no positions has no
    # y either.
    if is_scalar(moments.count):
        return coefficients
    present = column(moments.count) > 0
    return dataclasses.replace(
        coefficients,
        scale=ops.where(present, coefficients.scale, 0.0),
        shift=ops.where(present, coefficients.shift, 0.0),
    )


def affine_about(
    instance: Moments,
    deviation: Tensor,
    moments: Moments,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Any = 1e-3,
) -> Coefficients:
    """Coefficients that measure x from the mean of each row.

    ```
    y = gamma * (x - instance mean + deviation) / sqrt(variance + epsilon)
        + beta
    ```

    The variance is that of `moments`. A deviation stays accurate where a mean
    is large. With `deviation=instance.minus(moments)`, the result is that of
    `affine(moments, ...)`.

    Args:
        instance: `Moments` of each example.
        deviation: Tensor `[rows, channels]`, the distance of the instance mean
            from the mean that is subtracted.
        moments: `Moments` with the variance.
        gamma: Tensor that broadcasts to `[rows, channels]`, or `None` for 1.
            Defaults to `None`.
        beta: Tensor that broadcasts to `[rows, channels]`, or `None` for 0.
            Defaults to `None`.
        epsilon: Float or tensor that is added to the variance. Defaults to
            `1e-3`.

    Returns:
        `Coefficients`.
    """
    residual = -deviation
    if not is_number(instance.residual, 0):
        residual = residual + instance.residual
    about = dataclasses.replace(moments, mean=instance.mean, residual=residual)
    return affine(about, gamma, beta, epsilon)


def choose(
    condition: Tensor, first: Coefficients, second: Coefficients
) -> Coefficients:
    """Chooses between two coefficients by a condition.

    Args:
        condition: Boolean tensor.
        first: `Coefficients` where the condition is true.
        second: `Coefficients` where it is false.

    Returns:
        `Coefficients` with the updates of `first`.
    """
    return Coefficients(
        ops.where(condition, first.center, second.center),
        ops.where(condition, first.scale, second.scale),
        ops.where(condition, first.shift, second.shift),
        first.updates,
        {
            name: ops.where(condition, output, second.outputs[name])
            for name, output in first.outputs.items()
        },
    )
