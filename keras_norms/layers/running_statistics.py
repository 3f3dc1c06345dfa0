"""Running statistics: how they are updated, and what inference reads."""

import warnings
from typing import Any

from keras_norms.statistics import replicas
from keras_norms.types import Tensor

_TRACED_BEFORE = (
    "{}: a function that runs this layer in inference mode was traced before "
    "the first training step, which updates the running statistics of each "
    "replica separately, inside `tf.cond`, `keras.layers.RNN` or an inner "
    "`tf.function`. That function reads the statistics of each replica "
    "instead of their mean, which is saved. To trace it again, call "
    "`model.compile(...)` or create a new `tf.function`."
)


def moving_average(old: Tensor, value: Tensor, momentum: float) -> Tensor:
    """`momentum * old + (1 - momentum) * value`."""
    return old * momentum + value * (1.0 - momentum)


def read_for_inference(
    layer: Any, trains: bool, infers: bool
) -> dict[str, Tensor]:
    """The running statistics by name, where replicas may have other values.

    Where replicas cannot exchange tensors (inside `tf.cond`, a loop or an
    inner `tf.function`), each replica updates its own value, and the mean of
    these values is saved. Inference reads that mean only if replicas may
    differ, because a read from another device costs a transfer.
    """
    if trains and not layer.synchronized and replicas.average_later():
        if layer.inferred_in_replicas and not layer.replicas_differ:
            message = _TRACED_BEFORE.format(layer.name)
            warnings.warn(message, stacklevel=4)
        layer.replicas_differ = True
    if not infers:
        return {}
    if replicas.count() == 1:
        differ = layer.replicas_differ
        return {} if differ else replicas.firsts(layer.parameters)
    if layer.replicas_differ:
        return replicas.means(layer.parameters)
    layer.inferred_in_replicas = True
    return {}
