"""Which way the two passes run: the only file that asks TensorFlow for it."""

import keras


def compiling():
    """Whether what runs now is being compiled by XLA.

    Compilers and op-by-op execution want sums written differently, see
    `Layout.sum`; nothing else depends on it.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        return backend == "jax"
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    # TensorFlow has no public way to ask; not knowing only costs speed.
    try:
        from tensorflow.python.ops import control_flow_util
    except ImportError:
        return False
    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)


def custom_gradient(function):
    """Has TensorFlow take the gradient that `function` returns with its value.

    Other backends derive one of their own.
    """
    if keras.backend.backend() != "tensorflow":
        return lambda *arguments: function(*arguments)[0]
    import tensorflow as tf

    return tf.custom_gradient(function)


def compiled(function):
    """A graph of a function, where the backend makes them."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)


def values(*variables):
    """What variables hold now, as numbers; None where that cannot be told."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    with tf.init_scope():
        if not tf.executing_eagerly():
            return None
        return [float(variable.numpy()) for variable in variables]
