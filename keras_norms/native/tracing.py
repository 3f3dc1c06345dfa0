"""What TensorFlow traces at the moment: everything without a public API."""

import sys
import weakref

import keras


def in_graph():
    """Whether operations are added to a graph, not run."""
    import tensorflow as tf

    return not tf.executing_eagerly()


def exporting():
    """Whether what is traced now is to be loaded without this package.

    A concrete function that is asked for by name is a graph that leaves the
    process: converters freeze it (`tf2onnx`, OpenVINO, `TFLiteConverter`,
    `convert_variables_to_constants_v2`). Functions that are called run here.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    try:
        from tensorflow.python.saved_model import save_context
    except ImportError:
        saving = False
    else:
        saving = save_context.in_save_context()
    return saving or any(map(_leaves_the_process, _frames()))


def _frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def _leaves_the_process(frame):
    """Whether a function on the stack makes a graph for use elsewhere."""
    module = frame.f_globals.get("__name__", "")
    if module.startswith("tensorflow."):
        return frame.f_code.co_name == "get_concrete_function"
    # Keras's archives trace by calls before they save.
    archive = keras.export.ExportArchive.__module__.rpartition(".")[0]
    return module.startswith(archive)


def compiling():
    """Whether what runs now is being compiled by XLA.

    Compilers and op-by-op execution need different sums, see `Layout.sum`,
    and only compilers need `materialized` tensors.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        return backend == "jax"
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    # TensorFlow has no public way to ask; not knowing costs speed, and digits.
    try:
        from tensorflow.python.ops import control_flow_util
    except ImportError:
        return False
    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)


def in_branch():
    """Whether what is traced now is a branch of a conditional."""
    try:
        from tensorflow.python.ops import control_flow_v2_func_graphs
    except ImportError:
        return True
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        branch = control_flow_v2_func_graphs.CondBranchFuncGraph
        if isinstance(graph, branch):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


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
