"""Checks of arguments that depend on the backend of Keras."""

import keras

from keras_norms.validation.kinds import is_integer
from keras_norms.validation.settings import boolean


def synchronized(value):
    """Checks whether layers can have statistics of all replicas."""
    boolean("synchronized", value)
    backend = keras.backend.backend()
    if value and backend not in ("tensorflow", "jax"):
        raise ValueError(
            "`synchronized=True` requires TensorFlow, whose replicas of a "
            "`tf.distribute` strategy exchange statistics, or JAX, where the "
            "statistics of a batch that `keras.distribution` distributes are "
            "those of the whole batch. Received: synchronized=True with the "
            f"backend {backend}. Use `synchronized=False`, or another backend."
        )
    return value


def replicas(value):
    """Checks the number of replicas per group: a positive integer or None."""
    if value is None:
        return None
    if not is_integer(value) or value < 1:
        raise ValueError(
            "`replicas_per_group` must be a positive integer, or None for all "
            f"replicas. Received: replicas_per_group={value!r}. Use a divisor "
            "of the number of replicas."
        )
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            "`replicas_per_group` requires TensorFlow, because statistics "
            "are those of the whole batch elsewhere. Received: "
            f"replicas_per_group={value} with the backend {backend}. Use None."
        )
    return int(value)
