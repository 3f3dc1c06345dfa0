"""Replicas of a `tf.distribute` strategy, used by no other file.

On the other backends of Keras, there is one replica.
"""

import contextlib
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras

from keras_norms.types import Tensor

_NESTED = (
    "Statistics of all replicas need an all-reduce, which TensorFlow allows "
    "in the function that `strategy.run` calls, and not in a graph within it. "
    "Received: a synchronized layer inside `tf.cond`, `tf.while_loop`, "
    "`keras.layers.RNN` or an inner `tf.function`, with {} replicas. Call the "
    "layer outside of it, or pass `synchronized=False` to the layer."
)


def _context() -> Any:
    """The replica context, or `None` outside of the replicas."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


def can_reduce() -> bool:
    """Whether replicas can exchange tensors where this code is traced.

    TensorFlow refuses collectives in a graph inside the replica's own, such
    as a branch of `tf.cond`, the body of a loop or an inner `tf.function`.
    """
    import tensorflow as tf

    # MirroredStrategy runs each replica in a thread that holds its graph.
    graph = getattr(threading.current_thread(), "graph", None)
    return graph is None or graph is tf.compat.v1.get_default_graph()


def are_averaged_when_read() -> bool:
    """Whether running statistics are read as the mean over the replicas.

    This is so on one machine. On several machines, reading such a variable
    would be a collective, and the usual `if chief: model.save(...)` would
    wait forever.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(
        tf.distribute.get_strategy(), tf.distribute.MirroredStrategy
    )


def average_later() -> bool:
    """Whether replicas cannot be averaged here, but when they are read.

    Each replica then updates its own running statistics.
    """
    several = count() > 1
    return several and are_averaged_when_read() and not can_reduce()


def averaging_when_read() -> Any:
    """A context for creating variables that are read as their mean."""
    if not are_averaged_when_read():
        return contextlib.nullcontext()
    import tensorflow as tf

    def create(next_creator: Callable[..., Any], **arguments: Any) -> Any:
        arguments["synchronization"] = tf.VariableSynchronization.ON_READ
        arguments["aggregation"] = tf.VariableAggregation.MEAN
        return next_creator(**arguments)

    return tf.variable_creator_scope(create)


def means(variables: Mapping[str, Any]) -> dict[str, Tensor]:
    """The means over replicas of variables that are read as their mean.

    In a replica, reading such a variable gives the value of that replica.
    The mean is what is saved.
    """
    import tensorflow as tf

    return {
        name: tf.add_n([*map(tf.convert_to_tensor, values)]) / len(values)
        for name, values in _of_replicas(variables)
    }


def firsts(variables: Mapping[str, Any]) -> dict[str, Tensor]:
    """The values of the first replica, which equal those of all replicas.

    Outside of the replicas, reading a variable as its mean needs all devices,
    which XLA refuses.
    """
    return {name: values[0] for name, values in _of_replicas(variables)}


def _of_replicas(
    variables: Mapping[str, Any],
) -> Iterator[tuple[str, Any]]:
    for name, variable in variables.items():
        value: Any = getattr(variable, "value", None)
        # Other variables lack the attribute, or have another value of it.
        synchronization = getattr(value, "synchronization", None)
        if getattr(synchronization, "name", None) == "ON_READ":
            yield name, value.values


def count() -> int:
    """The number of replicas that run this code; 1 outside of replicas."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def index() -> Any:
    """The index of this replica."""
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def group_size(replicas_per_group: int | None, total: int) -> int:
    """The number of replicas per group, which must divide the total."""
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


def totals_of_groups(tensor: Tensor, replicas_per_group: int | None) -> Tensor:
    """The sums over each group of neighboring replicas, `[groups, ...]`.

    The axis of groups is missing if one group has all replicas.

    One all-reduce: each replica adds its tensor into the row of its group.
    Every replica must call it, in the same order, and not inside `tf.cond`,
    `tf.while_loop` or an inner `tf.function`.
    """
    per_group = group_size(replicas_per_group, count())
    if per_group == count():
        return total(tensor)
    return total(_row(tensor, group_index(per_group), count() // per_group))


def gather(tensor: Tensor) -> Tensor:
    """The tensors of all replicas, `[replicas, ...]`, by one all-reduce.

    Each replica adds its tensor into its own row, so the sums are exact.
    """
    return total(_row(tensor, index(), count()))


def _row(tensor: Tensor, row: Any, rows: int) -> Tensor:
    """`[rows, ...]`, with a tensor as one row and zeros elsewhere."""
    import tensorflow as tf

    zeros = tf.zeros_like(tensor)
    number = tf.get_static_value(row)
    if number is not None:
        tensors = [zeros] * rows
        tensors[int(number)] = tensor
        return tf.stack(tensors)
    is_row = tf.reshape(tf.range(rows) == row, [-1] + [1] * len(tensor.shape))
    return tf.where(is_row, tensor[None], zeros[None])


def group_index(size: int) -> Any:
    """The index of this replica's group of replicas, a number if known."""
    if size == count():
        return 0
    import tensorflow as tf

    group = index() // size
    known = tf.get_static_value(group)
    return group if known is None else int(known)


def total_of_group(tensor: Tensor, replicas_per_group: int | None) -> Tensor:
    """The sum over the replicas of this replica's group, by one all-reduce."""
    size = group_size(replicas_per_group, count())
    totals = totals_of_groups(tensor, size)
    return totals if size == count() else totals[group_index(size)]


def total(tensor: Tensor) -> Tensor:
    """The sum over all replicas, by one all-reduce.

    See `totals_of_groups` for where it can be called.
    """
    if count() == 1:
        return tensor
    if not can_reduce():
        raise RuntimeError(_NESTED.format(count()))
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def split(tensor: Tensor, sizes: list[int]) -> Any:
    """The last axis in pieces of these sizes, as one operation."""
    import tensorflow as tf

    return tf.split(tensor, sizes, axis=-1)


def total_before(number: Tensor) -> Tensor:
    """The sum of a number of the replicas before this one."""
    if count() == 1:
        return 0
    import tensorflow as tf

    numbers = gather(tf.cast(number, tf.float32))
    earlier = tf.range(count()) < index()
    return tf.cast(tf.reduce_sum(tf.where(earlier, numbers, 0.0)), tf.int32)
