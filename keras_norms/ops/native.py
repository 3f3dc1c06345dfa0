"""Whether the native library computes the two passes."""

import contextlib
import functools
import os
import warnings

import keras

from keras_norms import library
from keras_norms.ops import tracing

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
    if _blocks[-1:] != [["always"]] and tracing.exporting():
        return False
    if None in x.shape and tracing.compiling() and tracing.in_branch():
        # XLA gives what a branch saves for its gradient a dynamic size, which
        # custom calls do not take.
        return False
    try:
        if _gpus() and dtype == "float64":
            return False
        library.load()
        if _gpus():
            library.serve_gpus(_gpus())
        if tracing.compiling():
            library.load(library.XLA_LIBRARY)
        elif tracing.in_graph():
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
