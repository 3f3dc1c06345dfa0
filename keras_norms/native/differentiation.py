"""Custom gradients and tapes, where TensorFlow has no public API for them."""

import weakref

import keras

from keras_norms.native.tracing import in_graph


def custom_gradient(function):
    """A function whose gradient in TensorFlow is the one that it returns.

    `function` returns its value and its gradient. The gradient receives dense
    tensors. The other backends of Keras differentiate the value.
    """
    if keras.backend.backend() != "tensorflow":
        return lambda *arguments: function(*arguments)[0]
    import tensorflow as tf

    @tf.custom_gradient
    def differentiable(*arguments):
        value, gradient = function(*arguments)

        def dense_gradient(*upstream, **variables):
            return gradient(*map(dense, upstream), **variables)

        return value, dense_gradient

    def run(*arguments):
        value = differentiable(*arguments)
        if in_graph():
            _store_gradient_on_graph(tf.nest.flatten(value)[0])
        return value

    return run


def dense(gradient):
    """Converts a gradient to a tensor, including `tf.IndexedSlices`.

    TensorFlow's conversion would warn about memory if sizes are unknown. Here
    the gradient is as large as x in any case.
    """
    import tensorflow as tf

    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(
        gradient.values, gradient.indices, gradient.dense_shape[0]
    )


def _store_gradient_on_graph(output):
    """Moves the custom gradient of `output` from a registry to its graph.

    TensorFlow registers the gradient for the process, and the gradient holds
    its graph, so every model that was ever traced would stay in memory.
    """
    try:
        from tensorflow.python.framework import ops as framework

        registered = framework.gradient_registry._registry
        name = output.op.get_attr("_gradient_op_type").decode()
        entry = registered[name]
        gradient = entry["type"]
    except (ImportError, AttributeError, KeyError, ValueError):
        return  # In another TensorFlow, memory is lost, but no result.
    graph = output.graph
    if not hasattr(graph, "_keras_norms_gradients"):
        graph._keras_norms_gradients = {}
    graph._keras_norms_gradients[name] = gradient
    owner = weakref.ref(graph, lambda _: registered.pop(name, None))

    def stored_gradient(operation, *upstream):
        return owner()._keras_norms_gradients[name](operation, *upstream)

    entry["type"] = stored_gradient


def new_tape():
    """A tape for small tensors, or `None` on other backends of Keras."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    # Persistent, because a gradient may be computed more than once.
    return GraphTape.for_current_graph() or tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    )


def copy(tensor):
    """Another tensor of the graph with the same values."""
    import tensorflow as tf

    return tf.identity(tensor)


def multiply_no_nan(x, y):
    """x y, or 0 where y is 0 and x is not finite."""
    import tensorflow as tf

    return tf.math.multiply_no_nan(x, y)


class GraphTape:
    """Differentiates a graph's operations, with `tf.GradientTape`'s methods.

    Python's garbage collector does not see the records of a `GradientTape`.
    The gradient of a graph holds the tape, and the tape holds tensors of the
    graph, so the graph would stay in memory forever.
    """

    @classmethod
    def for_current_graph(cls):
        """A tape for the graph that is traced, or `None` without one."""
        if not in_graph():
            return None
        try:
            from tensorflow.python.ops import gradients_util
        except ImportError:
            return None
        return cls(gradients_util._GradientsHelper)

    def __init__(self, differentiate):
        import tensorflow as tf

        self._differentiate = differentiate
        self._graph = tf.compat.v1.get_default_graph()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def watch(self, sources):
        """Does nothing: `gradient` differentiates up to any sources."""

    def gradient(self, targets, sources, upstream, unconnected_gradients):
        """See `tf.GradientTape.gradient`. It may run in another graph."""
        gradients = self._differentiate(
            list(targets),
            sources,
            list(upstream),
            unconnected_gradients=unconnected_gradients,
            src_graph=self._graph,
        )
        return [dense(each) for each in gradients]
