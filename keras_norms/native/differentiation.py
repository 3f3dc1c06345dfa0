"""Custom gradients and tapes, where TensorFlow has no public API for them."""

import weakref

import keras

from keras_norms.native.tracing import in_graph


def custom_gradient(function):
    """Has TensorFlow take the gradient that `function` returns with its value.

    The gradient receives dense tensors. Other backends derive one of their
    own.
    """
    if keras.backend.backend() != "tensorflow":
        return lambda *arguments: function(*arguments)[0]
    import tensorflow as tf

    @tf.custom_gradient
    def differentiable(*arguments):
        value, gradient = function(*arguments)

        def of_dense(*upstream, **variables):
            return gradient(*map(dense, upstream), **variables)

        return value, of_dense

    def run(*arguments):
        value = differentiable(*arguments)
        if in_graph():
            _give_to_graph(tf.nest.flatten(value)[0])
        return value

    return run


def dense(gradient):
    """A gradient as a tensor, also where a gather passes `tf.IndexedSlices`.

    TensorFlow's own conversion warns about memory where sizes are unknown.
    Here the gradient is as large as x in any case.
    """
    import tensorflow as tf

    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(
        gradient.values, gradient.indices, gradient.dense_shape[0]
    )


def _give_to_graph(output):
    """Has the graph of a custom gradient's output own the gradient.

    TensorFlow registers it for the whole process, and it holds its graph:
    every model that was ever traced would stay in memory.
    """
    try:
        from tensorflow.python.framework import ops as framework

        registered = framework.gradient_registry._registry
        name = output.op.get_attr("_gradient_op_type").decode()
        entry = registered[name]
        gradient = entry["type"]
    except (ImportError, AttributeError, KeyError, ValueError):
        return  # Another TensorFlow: it costs memory, not results.
    graph = output.graph
    if not hasattr(graph, "_keras_norms_gradients"):
        graph._keras_norms_gradients = {}
    graph._keras_norms_gradients[name] = gradient
    owner = weakref.ref(graph, lambda _: registered.pop(name, None))

    def of_graph(operation, *upstream):
        return owner()._keras_norms_gradients[name](operation, *upstream)

    entry["type"] = of_graph


def new_tape():
    """A tape for small tensors; `None` where the backend differentiates."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    # A gradient may be taken more than once.
    return GraphTape.here() or tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    )


def copy(tensor):
    """The same values as another tensor of the graph."""
    import tensorflow as tf

    return tf.identity(tensor)


def multiply_no_nan(x, y):
    """x y, and 0 where y is 0 and x is not finite."""
    import tensorflow as tf

    return tf.math.multiply_no_nan(x, y)


class GraphTape:
    """Derivatives from the operations of a graph, by `GradientTape`'s methods.

    A tape keeps its records where Python's garbage collector does not see
    them. Held by the gradient of a graph, whose tensors it holds, it would
    keep the graph in memory for good.
    """

    @classmethod
    def here(cls):
        """One for the graph that is traced; None where there is none."""
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
        """Operations are differentiated up to the sources in any case."""

    def gradient(self, targets, sources, upstream, unconnected_gradients):
        """See `tf.GradientTape.gradient`; it may run in another graph."""
        gradients = self._differentiate(
            list(targets),
            sources,
            list(upstream),
            unconnected_gradients=unconnected_gradients,
            src_graph=self._graph,
        )
        return [dense(each) for each in gradients]
