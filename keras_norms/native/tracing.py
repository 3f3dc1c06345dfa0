"""The state of TensorFlow's tracing, and all uses of its private modules."""

import sys
import weakref

import keras


def in_graph():
    """Whether operations are added to a graph instead of executed."""
    import tensorflow as tf

    return not tf.executing_eagerly()


def exporting():
    """Whether the current graph may be loaded without this package.

    Converters (`tf2onnx`, OpenVINO, `TFLiteConverter`,
    `convert_variables_to_constants_v2`) call `get_concrete_function` and
    freeze its graph. A function that is called runs in this process.
    """
    if not in_graph():
        return False
    try:
        from tensorflow.python.saved_model import save_context
    except ImportError:
        saving = False
    else:
        saving = save_context.in_save_context()
    return saving or any(map(_is_exporter, _frames()))


def _frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_exporter(frame):
    """Whether a function on the stack makes a graph for another process."""
    module = frame.f_globals.get("__name__", "")
    if module.startswith("tensorflow."):
        return frame.f_code.co_name == "get_concrete_function"
    # Before it saves, an archive of Keras calls functions to trace them.
    archive = keras.export.ExportArchive.__module__.rpartition(".")[0]
    return module.startswith(archive)


def compiling():
    """Whether XLA compiles the current operations.

    `Layout.sum` uses different sums for compilers and for op-by-op execution,
    and only compilers need `materialized` tensors.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        return backend == "jax"
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    # TensorFlow has no public function for this. Without the module, sums are
    # slower and less accurate under XLA.
    try:
        from tensorflow.python.ops import control_flow_util
    except ImportError:
        return False
    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)


def in_branch():
    """Whether a branch of a conditional is traced."""
    try:
        from tensorflow.python.ops import control_flow_v2_func_graphs as cond
    except ImportError:
        return True
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        if isinstance(graph, cond.CondBranchFuncGraph):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


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


def compiled(function):
    """The function as a `tf.function`, if TensorFlow is the backend."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)


def values(*variables):
    """The values of variables as numbers, or `None` while they are unknown."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    with tf.init_scope():
        if not tf.executing_eagerly():
            return None
        return [float(variable.numpy()) for variable in variables]
