"""Makes running statistics the cumulative ones of all batches so far."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.layers.running_statistics import moving_average
from keras_norms.ops import Moments
from keras_norms.ops import instance_moments
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import reciprocal
from keras_norms.types import Tensor

# With the momentum n / (n + k) after n positions, and with the total variance,
# the moving average with a batch of k positions is Chan's merge.


@contextmanager
def accumulating(layer: Any) -> Iterator["Count"]:
    """Lets each call of a batch normalization merge the moments of its batch.

    Whatever a call states, the layer normalizes with the moments of the batch.
    At the end, everything but the running statistics is restored.
    """
    count = Count(layer.moving_mean.shape)
    ours = isinstance(layer, BaseBatchNormalization)
    changes = _changes(layer, count) if ours else _keras_changes(layer, count)
    changes["trainable"] = True
    saved = [
        (variable, ops.convert_to_numpy(variable))
        for variable in layer.non_trainable_variables
        if variable is not layer.moving_mean
        and variable is not layer.moving_variance
    ]
    before = {
        name: vars(layer)[name] for name in changes if name in vars(layer)
    }
    trainable = layer.trainable
    try:
        for name, value in changes.items():
            setattr(layer, name, value)
        yield count
    finally:
        for name in changes:
            vars(layer).pop(name, None)
        vars(layer).update(before)
        layer.trainable = trainable
        for variable, value in saved:
            variable.assign(value)


class Count:
    """How many positions have been merged, for each channel.

    `finite` is whether all moments were.
    """

    def __init__(self, shape: Any) -> None:
        self.positions = keras.Variable(
            ops.zeros(shape), trainable=False, dtype="float32"
        )
        self.finite = keras.Variable(True, trainable=False, dtype="bool")

    def add(self, moments: Moments) -> Tensor:
        """Counts a batch, and returns the momentum with which it is merged."""
        counts = like(column(moments.count), moments.mean)
        counts = ops.reshape(counts, self.positions.shape)
        added = ops.cast(counts, "float32")
        finite = ops.isfinite(moments.mean + moments.variance)
        self.finite.assign(ops.logical_and(self.finite, ops.all(finite)))
        total = self.positions + added
        momentum = self.positions * reciprocal(total, "float32")
        self.positions.assign(total)
        return momentum


def _changes(layer: BaseBatchNormalization, count: Count) -> dict[str, Any]:
    normalized, target = layer.normalized, layer.running_target

    def running_target(*arguments: Any) -> Moments:
        moments = target(*arguments)
        momentum = count.add(moments)
        layer.momentum = ops.cast(momentum, moments.mean.dtype)
        return moments

    def training_output(
        inputs: Tensor,
        parameters: Any,
        mask: Tensor | None = None,
        training: Tensor = None,
        per_example: bool = False,
    ) -> Tensor:
        return normalized(inputs, parameters, mask, True, per_example)

    return {
        "normalized": training_output,
        "momentum": layer.momentum,
        "running_target": running_target,
        "running_variance": "total",
        "uses_batch": lambda params: True,
        "ghost_statistics": "batch",
        "renorm": False,
    }


def _keras_changes(layer: Any, count: Count) -> dict[str, Any]:
    call = layer.call

    def merging_call(
        inputs: Tensor, training: Tensor = None, mask: Tensor | None = None
    ) -> Tensor:
        moments = instance_moments(inputs, mask, layer.axis)
        moments = moments.pool(examples=None)
        momentum = ops.cast(count.add(moments), moments.mean.dtype)
        mean, variance = (
            ops.squeeze(each, axis=0)
            for each in (moments.mean + moments.residual, moments.variance)
        )
        old = ops.cast(layer.moving_mean, mean.dtype)
        variance = variance + momentum * ops.square(old - mean)
        layer.moving_variance.assign(
            moving_average(
                ops.cast(layer.moving_variance, mean.dtype), variance, momentum
            )
        )
        layer.moving_mean.assign(moving_average(old, mean, momentum))
        return call(inputs, training=True, mask=mask)

    # With this momentum, Keras's own update changes nothing.
    return {"call": merging_call, "momentum": 1.0}
