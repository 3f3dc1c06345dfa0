"""The state of TensorFlow's tracing, for which it has no public API."""

import collections.abc
import functools
import sys

import keras


def in_graph():
    """Whether TensorFlow adds operations to a graph and executes none."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()


def graph():
    """The graph that operations are added to, or `None` in eager mode."""
    if not in_graph():
        return None
    import tensorflow as tf

    return tf.compat.v1.get_default_graph()


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


def traced_once(function):
    """A pure function of tensors that is one node of the graphs that call it.

    A model calls the algebra of its layers once for each layer and replica.
    TensorFlow traces `function` once for the shapes and dtypes of its tensors
    and for its other arguments, unless one is not hashable. It inlines the
    node before it runs a graph. `function` must not depend on the graph that
    calls it, as `compiling` does.
    """
    traced = {}

    @functools.wraps(function)
    def call(*arguments):
        if not in_graph():
            return function(*arguments)
        import tensorflow as tf

        positions = [i for i, a in enumerate(arguments) if tf.is_tensor(a)]
        specs = [
            tf.TensorSpec(arguments[i].shape, arguments[i].dtype)
            for i in positions
        ]
        # Equal numbers of other types, as 2 and 2.0, may give other results.
        others = [(type(a), a) for a in arguments if not tf.is_tensor(a)]
        key = (*positions, *specs, *others)
        if not all(isinstance(a, collections.abc.Hashable) for _, a in others):
            return function(*arguments)
        if key not in traced:
            # The arguments without the tensors, which hold their graph.
            template = [None if tf.is_tensor(a) else a for a in arguments]

            def of_tensors(*tensors):
                filled = list(template)
                for position, tensor in zip(positions, tensors, strict=True):
                    filled[position] = tensor
                return function(*filled)

            # Outside of the graph that calls it, whose device it would keep.
            with tf.init_scope(), tf.device(None):
                compiled = tf.function(of_tensors, autograph=False)
                traced[key] = compiled.get_concrete_function(*specs)
        return traced[key](*[arguments[i] for i in positions])

    return call
