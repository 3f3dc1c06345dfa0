"""Measures normalization layers in a training call of a model."""

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.native import tracing
from keras_norms.ops import Moments
from keras_norms.ops import feature_similarity
from keras_norms.ops import instance_moments
from keras_norms.types import Tensor

_NAN = float("nan")
# Smaller variances of an output count as 0.
_CONSTANT = 1e-6


class Observer:
    """Measures the layers of a model while it is called.

    Args:
        layers: pairs of a path and of a normalization layer.
        replicas: how many replicas share a batch.
    """

    def __init__(
        self, layers: Sequence[tuple[str, Any]], replicas: int
    ) -> None:
        self._layers = layers
        self._replicas = replicas
        self._results: dict[str, Tensor] = {}
        self._graph: Any = None
        self.paths: list[str] = []

    def __call__(self, model: keras.Model, x: Any) -> Tensor:
        """The measures of the layers, `[layers, measures]`.

        The call has no effects on the state of the model.
        """
        self._results, self._graph = {}, tracing.graph()
        with ExitStack() as stack:
            stack.enter_context(keras.StatelessScope())
            for path, layer in self._layers:
                stack.enter_context(self._observed(path, layer))
            model(x, training=True)
        self.paths = [p for p, _ in self._layers if p in self._results]
        return ops.stack([self._results[path] for path in self.paths])

    @contextmanager
    def _observed(self, path: str, layer: Any) -> Iterator[None]:
        """Replaces the methods of a layer that see its tensors."""
        ours = isinstance(layer, BaseNormalization)
        name = "normalized" if ours else "call"
        original = getattr(layer, name)
        target: list[Moments] = []

        def measured(inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            target.clear()
            running = running_statistics(layer)
            outputs = original(inputs, *args, **kwargs)
            mask = kwargs.get("mask", args[1] if ours and args[1:] else None)
            # A tensor of a loop's graph cannot leave it.
            if path not in self._results and tracing.graph() is self._graph:
                self._results[path] = measures(
                    layer,
                    inputs,
                    outputs,
                    mask,
                    running,
                    target,
                    self._replicas,
                )
            return outputs

        replaced: dict[str, Any] = {name: measured}
        if hasattr(layer, "running_target"):
            running_target = layer.running_target

            def recorded(*args: Any) -> Moments:
                target.append(running_target(*args))
                return target[-1]

            replaced["running_target"] = recorded
        before = {n: vars(layer)[n] for n in replaced if n in vars(layer)}
        try:
            for attribute, value in replaced.items():
                setattr(layer, attribute, value)
            yield
        finally:
            for attribute in replaced:
                vars(layer).pop(attribute, None)
            vars(layer).update(before)


def measures(
    layer: Any,
    inputs: Tensor,
    outputs: Tensor,
    mask: Tensor | None,
    running: tuple[Tensor, Tensor] | None,
    target: Sequence[Moments],
    replicas: int,
) -> Tensor:
    """The measures of a call, in the order of `MEASURES`.

    `running` are the running statistics before the call, and `target` has the
    moments that they approached in it, if they did.
    """
    axis = channel_axis(layer)
    examples = instance_moments(inputs, mask, axis)
    drift: tuple[Any, Any] = (_NAN, _NAN)
    disagreement, independent = _NAN, _NAN
    if running is not None:
        batch = target[0] if target else examples.pool(examples=None)
        drift = _drift(batch, *running, layer.epsilon)
        separate = _separate_batches(layer, replicas)
        # A frozen layer uses no statistics of the batch.
        ours = isinstance(layer, BaseNormalization)
        if target if ours else layer.trainable:
            disagreement = _disagreement(examples, separate)
            independent = _independent_values(layer, examples, separate)
    values = (
        *drift,
        feature_similarity(inputs, mask, axis),
        _dead_channels(outputs, axis),
        disagreement,
        independent,
    )
    return ops.stack([ops.cast(value, "float32") for value in values])


def running_statistics(layer: Any) -> tuple[Tensor, Tensor] | None:
    """The running mean and variance of a batch normalization."""
    if not isinstance(layer, keras.layers.BatchNormalization):
        return None
    # Within a `StatelessScope`, the variable itself has the updated value.
    return layer.moving_mean.value, layer.moving_variance.value


def channel_axis(layer: Any) -> int:
    """The axis of a normalization, the last one if there are several."""
    axis = getattr(layer, "channel_axis", layer.axis)
    return axis[-1] if isinstance(axis, (list, tuple)) else axis


def _root_mean_square(values: Tensor) -> Tensor:
    return ops.sqrt(ops.mean(ops.square(values)))


def _drift(
    batch: Moments, mean: Tensor, variance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    mean, variance = (
        ops.cast(each, batch.mean.dtype) for each in (mean, variance)
    )
    distance = (batch.mean - mean) / ops.sqrt(variance + epsilon)
    ratio = (batch.variance + epsilon) / (variance + epsilon)
    return _root_mean_square(distance), _root_mean_square(ops.log(ratio))


def _separate_batches(layer: Any, replicas: int) -> int:
    """How many batches with separate statistics make up a batch."""
    if not getattr(layer, "synchronized", False):
        return replicas
    return replicas // (getattr(layer, "replicas_per_group", None) or replicas)


def _disagreement(examples: Moments, separate: int) -> Any:
    """The deviation of the replicas' means, in standard deviations."""
    if separate == 1:
        return 0.0
    means = examples.mean
    size = ops.shape(means)[0] // separate
    means = ops.reshape(
        means[: size * separate], (separate, size, means.shape[1])
    )
    variance = examples.pool(examples=None).variance
    ratio = ops.var(ops.mean(means, axis=1), axis=0) / _positive(variance)
    return ops.sqrt(ops.mean(ratio))


def _independent_values(layer: Any, examples: Moments, separate: int) -> Any:
    """The size of an independent sample whose mean is as exact.

    With n independent values, the variance of a mean is variance / n. The
    positions of an example are not independent, but examples are.
    """
    count = ops.shape(examples.mean)[0]
    size = getattr(layer, "examples_per_block", None) or count // separate
    if hasattr(layer, "groups"):
        examples = layer.channel_groups(examples)
    within = ops.mean(examples.variance, axis=0)
    mean = ops.mean(examples.mean, axis=0)
    # Two examples have one difference, so the sum is divided by one less.
    between = ops.sum(ops.square(examples.mean - mean), axis=0)
    between = between / ops.cast(ops.maximum(count - 1, 1), mean.dtype)
    # Nothing is known of a single example, and nothing varies in a constant
    # channel.
    between = ops.where(count > 1, between, 1.0)
    within = ops.where(count > 1, within, 0.0)
    varies = ops.cast(within + between > 0, mean.dtype)
    shares = between / _positive(within + between)
    share = ops.sum(varies * shares) / ops.sum(varies)
    size = ops.cast(size, mean.dtype)
    positions = ops.max(ops.cast(examples.count, mean.dtype))
    return size / ops.maximum(share, 1.0 / positions)


def _positive(value: Tensor) -> Tensor:
    return ops.maximum(value, 1e-12)


def _dead_channels(outputs: Tensor, axis: int) -> Tensor:
    moments = instance_moments(outputs, None, axis).pool(examples=None)
    constant = moments.variance[0] < _CONSTANT
    axis %= len(outputs.shape)
    others = [a for a in range(len(outputs.shape)) if a != axis]
    never_positive = ops.max(outputs, axis=others) <= 0
    dead = ops.logical_or(constant, never_positive)
    return ops.mean(ops.cast(dead, "float32"))
