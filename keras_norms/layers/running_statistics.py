"""Running statistics: how a batch moves them, and what inference reads."""

import warnings

from keras import ops

from keras_norms.ops import replicas

_TRACED_BEFORE = (
    "{}: a function that runs this layer in inference mode was traced before "
    "the first training step, which moves the running statistics of each "
    "replica by itself, inside `tf.cond`, `keras.layers.RNN` or an inner "
    "`tf.function`. That function reads the statistics of its own replica and "
    "not their mean, which is what is saved. Trace it again: call "
    "`model.compile(...)` or make the `tf.function` anew."
)


def move(old, value, momentum):
    """A step of a moving average."""
    return old * momentum + value * (1.0 - momentum)


def step(layer, moments, training, parameters):
    """The moments that normalize a batch, and the statistics after it by name.

    Both come from one read of the running statistics: graphs may run a second
    read after the assignment, whatever the order here.
    """
    per_group = layer.replicas_per_group if layer.synchronized else 1
    batch = moments.pool(examples=None)
    if layer.block is None:
        used = batch.across_replicas(per_group)
    else:
        used = moments.pool(examples=layer.block)
    if layer.synchronized:
        target = batch.average_over_replicas(per_group)
        target = layer.followed(target, used, **parameters)
    else:
        target = layer.followed(batch, used, **parameters)
        target = target.average_over_replicas()
    mean = ops.squeeze(target.mean, axis=0)
    variance = ops.squeeze(target.variance, axis=0)
    valid = ops.isfinite(mean + variance)
    if not isinstance(target.count, int) or target.count == 0:
        counted = ops.squeeze(ops.convert_to_tensor(target.count) > 0)
        valid = ops.logical_and(valid, counted)
    if training is not True:
        valid = ops.logical_and(valid, training)
    moved = layer.moved(mean, variance, **parameters)
    for name, value in moved.items():
        # A scalar of the layer moves where any channel's statistics do.
        moves = valid if len(value.shape) else ops.any(valid)
        moved[name] = ops.where(moves, value, parameters[name])
    return used, moved


def for_inference(layer, trains, infers):
    """The running statistics to infer with, by name, where replicas differ.

    Where replicas cannot exchange tensors (inside `tf.cond`, a loop or an
    inner `tf.function`), each moves a value of its own, and what is saved is
    the mean of these. They are read from all replicas only if they may
    differ: a read from another device costs a transfer.
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
