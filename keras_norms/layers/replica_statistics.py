"""Running statistics that each replica moves by itself, for lack of a way.

Where replicas cannot exchange tensors (inside `tf.cond`, a loop or an inner
`tf.function`), each moves a value of its own, and what is saved is the mean
of these values. Inference must then normalize by that mean.
"""

import warnings

from keras_norms.ops import replicas

_TRACED_BEFORE = (
    "{}: a function that runs this layer in inference mode was traced before "
    "the first training step, which moves the running statistics of each "
    "replica by itself, inside `tf.cond`, `keras.layers.RNN` or an inner "
    "`tf.function`. That function reads the statistics of its own replica and "
    "not their mean, which is what is saved. Trace it again: call "
    "`model.compile(...)` or make the `tf.function` anew."
)


def for_inference(layer, trains, infers):
    """The running statistics to infer with, by name, where replicas differ.

    They are read from all replicas only if they may differ: a read from
    another device costs a transfer.
    """
    if trains and not layer.synchronized and replicas.average_later():
        if layer.inferred_in_replicas and not layer.replicas_differ:
            message = _TRACED_BEFORE.format(layer.name)
            warnings.warn(message, stacklevel=4)
        layer.replicas_differ = True
    if not infers or replicas.count() == 1:
        return {}
    if layer.replicas_differ:
        return replicas.saved_values(layer.parameters)
    layer.inferred_in_replicas = True
    return {}
