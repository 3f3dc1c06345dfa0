"""Replicas of a `tf.distribute` strategy: the only file that knows of them.

Other backends of Keras have no replicas here: one, that is.
"""

import keras


def _context():
    """The replica context, or None where this code runs once for all."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


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
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, table)
