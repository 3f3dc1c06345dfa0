"""Running statistics: how they are updated, and what inference reads."""

import warnings
from typing import Any

from keras_norms.native.tracing import traced_once
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


@traced_once
def moving_average(old: Tensor, value: Tensor, momentum: float) -> Tensor:
    """`momentum * old + (1 - momentum) * value`."""
    return old * momentum + value * (1.0 - momentum)


def note_separate_updates(layer: Any) -> None:
    """Notes on a layer that each replica updates its own running statistics.

    Replicas do so where they cannot exchange tensors (inside `tf.cond`, a loop
    or an inner `tf.function`). The mean of their values is saved, so inference
    must read it. A warning reports inference that was traced before, because
    it does not.
    """
    if layer.synchronized or not replicas.average_later():
        return
    if layer.inferred_in_replicas and not layer.replicas_differ:
        message = _TRACED_BEFORE.format(layer.name)
        warnings.warn(message, stacklevel=4)
    layer.replicas_differ = True


def read_for_inference(layer: Any) -> dict[str, Tensor]:
    """Returns the values that inference reads instead of the parameters.

    These are the means over replicas if replicas may have different running
    statistics. Otherwise, the values of all replicas are equal, and a read
    from another device, which costs a transfer, is avoided.
    """
    if replicas.count() == 1:
        differ = layer.replicas_differ
        return {} if differ else replicas.firsts(layer.parameters)
    if layer.replicas_differ:
        return replicas.means(layer.parameters)
    layer.inferred_in_replicas = True
    return {}
