"""Which way the two passes run, and the native library's operations."""

import contextlib
import functools
import os
import sys
import threading
import warnings

import keras

_MODES = ("auto", "always", "never")
_chosen = threading.local()


def mode():
    """ "auto", "always" or "never": of this block, or of the environment."""
    stack = getattr(_chosen, "stack", None)
    if stack:
        return stack[-1]
    return _checked(os.environ.get("KERAS_NORMS_NATIVE", "auto"))


def _checked(name):
    if name not in _MODES:
        raise ValueError(
            f"KERAS_NORMS_NATIVE must be one of {list(_MODES)}. Received: "
            f"{name!r}. Unset it for 'auto'."
        )
    return name


@contextlib.contextmanager
def using_native(mode):
    """Has what is traced in a block use the native library, or not.

    Arguments:
        mode: "auto" where it is there, "always" or an error, "never".

    Example:

    >>> from keras_norms import ops
    >>> with ops.using_native("never"):
    ...     y = ops.group_normalization([[1.0, 2.0]], groups=1)

    What has been traced before, as by `tf.function` or `fit`, stays.
    """
    stack = vars(_chosen).setdefault("stack", [])
    stack.append(_checked(mode))
    try:
        yield
    finally:
        stack.pop()


def runs(x):
    """Whether the library computes what is asked for x now."""
    how = mode()
    if how == "never" or _exporting() or not _on_cpu():
        return False
    try:
        _library()
        if compiling():
            _xla_library()
    except _unusable() as error:
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


def _unusable():
    from keras_norms.library import cache

    return cache.UnusableError


def _library():
    from keras_norms import library

    return library.load()


def _xla_library():
    from keras_norms import library
    from keras_norms.library import cache

    return library.load(cache.XLA_LIBRARY)


def _on_cpu():
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def _exporting():
    """Whether what is traced now is to be loaded without this package."""
    try:
        from tensorflow.python.saved_model import save_context
    except ImportError:
        saving = False
    else:
        saving = save_context.in_save_context()
    if saving:
        return True
    # Keras's archives trace before they save, and tell nobody.
    archive = keras.export.ExportArchive.__module__
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == archive:
            return True
        frame = frame.f_back
    return False


def activation(function):
    """The library's name of an activation, None where it has none."""
    if function is None:
        return "identity"
    return _activations().get(function)


@functools.cache
def _activations():
    import tensorflow as tf

    of_keras = keras.activations
    return {
        of_keras.linear: "identity",
        of_keras.relu: "relu",
        tf.nn.relu: "relu",
        of_keras.silu: "silu",
        tf.nn.silu: "silu",
        of_keras.gelu: "gelu",
        of_keras.leaky_relu: "leaky_relu",
        tf.nn.leaky_relu: "leaky_relu",
        of_keras.sigmoid: "sigmoid",
        tf.nn.sigmoid: "sigmoid",
        of_keras.tanh: "tanh",
        tf.nn.tanh: "tanh",
        gelu_tanh: "gelu_tanh",
    }


@keras.saving.register_keras_serializable(package="keras_norms")
def gelu_tanh(x):
    """GELU by its approximation with tanh: an activation that fuses."""
    return keras.activations.gelu(x, approximate=True)


def _empty(mask, dtype):
    import tensorflow as tf

    return tf.zeros([0], dtype) if mask is None else mask


def _layout(layout):
    examples = layout.asked
    return {
        "axis": layout.axis,
        "examples": -1 if examples is None else examples,
    }


def moments(x, mask, layout):
    """Count, mean, variance and residual: one read of x."""
    return _library().keras_norms_moments(
        x, _empty(mask, "bool"), S=_tables(x), **_layout(layout)
    )


def apply(x, mask, tables, activation, layout):
    """The line, and an activation: one read of x, one write."""
    return _library().keras_norms_apply(
        x,
        _empty(mask, "bool"),
        *tables,
        activation=activation,
        **_layout(layout),
    )


def gradient_sums(x, dy, mask, tables, activation, layout):
    """Sums of dy' and of dy' (x - center): one read of x and of dy."""
    return _library().keras_norms_gradient_sums(
        x,
        dy,
        _empty(mask, "bool"),
        *tables,
        activation=activation,
        **_layout(layout),
    )


def gradient_combine(x, dy, mask, tables, activation, layout, b, d):
    """dx: one read of x and of dy, one write."""
    dtype = tables.scale.dtype
    return _library().keras_norms_gradient_combine(
        x,
        dy,
        _empty(mask, "bool"),
        *tables,
        _empty(b, dtype),
        _empty(d, dtype),
        activation=activation,
        **_layout(layout),
    )


def group_norm(x, gamma, beta, groups, epsilon, activation, axis):
    """y, and the moments of groups: an example's are read from the cache."""
    dtype = _tables(x)
    return _library().keras_norms_group_norm(
        x,
        _empty(gamma, dtype),
        _empty(beta, dtype),
        groups=x.shape[axis] if groups == -1 else groups,
        epsilon=repr(epsilon),
        activation=activation,
        axis=axis,
    )


def group_norm_gradient(
    x,
    dy,
    gamma,
    beta,
    mean,
    residual,
    inverse,
    groups,
    epsilon,
    activation,
    axis,
):
    """dx, d gamma and d beta."""
    dtype = _tables(x)
    return _library().keras_norms_group_norm_gradient(
        x,
        dy,
        _empty(gamma, dtype),
        _empty(beta, dtype),
        mean,
        residual,
        inverse,
        groups=x.shape[axis] if groups == -1 else groups,
        epsilon=repr(epsilon),
        activation=activation,
        axis=axis,
    )


def _tables(x):
    import tensorflow as tf

    return tf.float64 if x.dtype == tf.float64 else tf.float32


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
