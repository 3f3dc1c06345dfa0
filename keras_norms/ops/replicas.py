"""Replicas of a `tf.distribute` strategy: the only file that knows of them.

Other backends of Keras have no replicas here: one, that is.
"""

import contextlib
import threading

import keras

_NESTED = (
    "Statistics of all replicas need an all-reduce, which TensorFlow allows "
    "in the function that `strategy.run` calls, and not in a graph within it. "
    "Received: a synchronized layer inside `tf.cond`, `tf.while_loop`, "
    "`keras.layers.RNN` or an inner `tf.function`, with {} replicas. Call the "
    "layer outside of it, or give it `synchronized=False`."
)


def _context():
    """The replica context, or None where this code runs once for all."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


def can_reduce():
    """Whether replicas can exchange tensors where this code is traced.

    TensorFlow refuses collectives in a graph inside the replica's own, such
    as a branch of `tf.cond`, the body of a loop or an inner `tf.function`.
    """
    import tensorflow as tf

    # A replica's thread of MirroredStrategy knows its graph.
    graph = getattr(threading.current_thread(), "graph", None)
    return graph is None or graph is tf.compat.v1.get_default_graph()


def are_averaged_when_read():
    """Whether running statistics are saved as the mean over the replicas.

    Of one machine only: on several, reading such a variable takes all of
    them, and the usual `if chief: model.save(...)` would wait forever.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(
        tf.distribute.get_strategy(), tf.distribute.MirroredStrategy
    )


def average_later():
    """Whether each replica moves running statistics of its own for now."""
    several = count() > 1
    return several and are_averaged_when_read() and not can_reduce()


def averaging_when_read():
    """A context in which variables made are `are_averaged_when_read`."""
    if not are_averaged_when_read():
        return contextlib.nullcontext()
    import tensorflow as tf

    def create(next_creator, **arguments):
        arguments["synchronization"] = tf.VariableSynchronization.ON_READ
        arguments["aggregation"] = tf.VariableAggregation.MEAN
        return next_creator(**arguments)

    return tf.variable_creator_scope(create)


def means(variables):
    """What is saved of variables `averaging_when_read`, by name.

    In a replica, reading such a variable gives the value of that replica.
    """
    import tensorflow as tf

    return {
        name: tf.add_n([*map(tf.convert_to_tensor, values)]) / len(values)
        for name, values in _of_replicas(variables)
    }


def firsts(variables):
    """The first replica's values, by name, where all replicas have the same.

    Outside of replicas, reading a variable `averaging_when_read` takes all
    devices, which XLA refuses.
    """
    return {name: values[0] for name, values in _of_replicas(variables)}


def _of_replicas(variables):
    for name, variable in variables.items():
        value = getattr(variable, "value", None)
        # Other variables have no such attribute, or another value of it.
        synchronization = getattr(value, "synchronization", None)
        if getattr(synchronization, "name", None) == "ON_READ":
            yield name, value.values


def count():
    """How many replicas run this code; 1 outside a strategy's replicas."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def index():
    """Which of them this is."""
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def group_size(replicas_per_group, total):
    """The replicas that make a group, checked against how many there are."""
    if replicas_per_group is None:
        return total
    if total % replicas_per_group:
        raise ValueError(
            "The number of replicas must be a multiple of "
            f"`replicas_per_group`. Received: replicas_per_group="
            f"{replicas_per_group} with {total} replicas. Use a divisor of "
            f"{total}, or None to merge all of them."
        )
    return replicas_per_group


def gather(table):
    """The tables of all replicas, stacked on a new first axis.

    One all-reduce: each replica adds its table into a row of its own, so sums
    are exact. Every replica must call it, in the same order; never inside
    `tf.cond`, `tf.while_loop` or an inner `tf.function`.
    """
    import tensorflow as tf

    own = tf.range(count()) == index()
    own = tf.reshape(own, [-1] + [1] * len(table.shape))
    return total(tf.where(own, table[None], tf.zeros_like(table)[None]))


def total(table):
    """The sum of a table over all replicas: one all-reduce, see `gather`."""
    if count() == 1:
        return table
    if not can_reduce():
        raise RuntimeError(_NESTED.format(count()))
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, table)
