"""Which way the two passes run: the only file that asks TensorFlow for it."""

import contextlib
import functools
import os
import sys
import warnings

import keras

from keras_norms import library

_MODES = ("auto", "always", "never")
_DTYPES = ("float16", "bfloat16", "float32", "float64")
# Of all threads: those of replicas are started anew for each call.
_blocks: list[list[str]] = []


def mode():
    """What is asked for: by a block, or else by the environment."""
    if _blocks:
        return _blocks[-1][0]
    variable = "KERAS_NORMS_NATIVE"
    return _checked(variable, os.environ.get(variable, "auto"))


def _checked(what, name):
    if name not in _MODES:
        raise ValueError(
            f"{what} must be one of {list(_MODES)}. Received: {name!r}. "
            "'auto' uses the native library where it is there."
        )
    return name


@contextlib.contextmanager
def using_native(mode):
    """Has what is traced in a block use the native library, or not.

    Arguments:
        mode: "auto", where it is there; "always", or an error; "never".
            "always" here, unlike in the environment, also puts its operations
            into what is exported, which is then not loaded without them.

    Example:

    >>> from keras_norms import ops
    >>> with ops.using_native("never"):
    ...     y = ops.group_normalization([[1.0, 2.0]], groups=1)

    What has been traced before, as by `tf.function` or `fit`, stays. The block
    is one for all threads.
    """
    block = [_checked("The mode of `using_native`", mode)]
    _blocks.append(block)
    try:
        yield
    finally:
        # Its own: those of other threads may have come since.
        _blocks[:] = [other for other in _blocks if other is not block]


def runs(x):
    """Whether the library computes what is asked for now, of such an x."""
    how = mode()
    if how == "never" or keras.backend.backend() != "tensorflow":
        return False
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype not in _DTYPES:
        return False
    if _blocks[-1:] != [["always"]] and _exporting():
        return False
    if None in x.shape and compiling() and _in_branch():
        # XLA gives what a branch saves for its gradient a dynamic size, which
        # custom calls do not take.
        return False
    try:
        if _gpus() and dtype == "float64":
            return False
        library.load()
        if _gpus():
            library.serve_gpus(_gpus())
        if compiling():
            library.load(library.XLA_LIBRARY)
        elif _in_graph():
            # What is traced now may be called by what is compiled later.
            library.reason(library.XLA_LIBRARY)
    except library.UnusableError as error:
        if how == "always":
            raise RuntimeError(
                "KERAS_NORMS_NATIVE=always, and the native library is not "
                f"active. {error}"
            ) from error
        _tell(str(error))
        return False
    return True


@functools.cache
def _tell(why):
    warnings.warn(
        f"keras_norms runs without its native library, slower. {why} "
        "KERAS_NORMS_NATIVE=never says no more of it.",
        stacklevel=2,
    )


@functools.cache
@library.explained(
    "TensorFlow cannot say which GPUs there are",
    "Update TensorFlow and the GPU's driver.",
)
def _gpus():
    """The compute capabilities of GPUs, which TensorFlow prefers to CPUs."""
    import tensorflow as tf

    if not tf.config.list_logical_devices("GPU"):
        return ()
    details = tf.config.experimental.get_device_details
    return tuple(
        details(gpu).get("compute_capability")
        for gpu in tf.config.get_visible_devices("GPU")
    )


def _in_graph():
    import tensorflow as tf

    return not tf.executing_eagerly()


def _exporting():
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

    Compilers and op-by-op execution want sums written differently, see
    `Layout.sum`, and compilers alone want tables `pinned`.
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


def _in_branch():
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

    from keras_norms.library.gradients import dense

    @tf.custom_gradient
    def run(*arguments):
        value, gradient = function(*arguments)

        def of_dense(*upstream, **variables):
            return gradient(*map(dense, upstream), **variables)

        return value, of_dense

    return run


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
