"""What TensorFlow traces at the moment: everything without a public API."""

import sys

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
