"""Decides whether the native library computes the two passes."""

import contextlib
import functools
import os
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_norms.native import loader
from keras_norms.native import tracing
from keras_norms.native.cache import XLA_LIBRARY
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import raising_unusable
from keras_norms.native.gpus import check_gpus

_MODES = ("auto", "always", "never")
_DTYPES = ("float16", "bfloat16", "float32", "float64")
# The modes of the `using_native` contexts that are open, the innermost last.
# All threads share the list, because a strategy starts the threads of its
# replicas for each call. Each mode is in a separate list, whose identity tells
# contexts of the same mode from each other.
_open_contexts: list[list[str]] = []


def mode():
    """The mode of the innermost context, or that of the environment."""
    if _open_contexts:
        return _open_contexts[-1][0]
    variable = "KERAS_NORMS_NATIVE"
    name = os.environ.get(variable, "auto")
    _check_mode(variable, name)
    return name


def _check_mode(setting, name):
    if name not in _MODES:
        raise ValueError(
            f"{setting} must be one of {list(_MODES)}. Received: {name!r}. "
            "'auto' uses the native library where it is available."
        )


@contextlib.contextmanager
def using_native(mode):
    """A context that selects whether layers use the native library.

    The mode applies to what is traced in the context, by all threads. A
    function that was traced before, as by `tf.function` or `fit`, does not
    change.

    Args:
        mode: "auto" uses the library where it is available. "always" raises
            an error where it is not available. Inputs that the library does
            not support, such as float64 on a GPU, are computed without it in
            both modes. "never" does not use the library. In this context,
            "always" also applies to exported models, which then cannot be
            loaded without the library. `KERAS_NORMS_NATIVE=always` does not
            change exported models.

    Example:

    >>> from keras_norms import ops
    >>> with ops.using_native("never"):
    ...     y = ops.group_normalization([[1.0, 2.0]], groups=1)
    """
    _check_mode("The mode of `using_native`", mode)
    context = [mode]
    _open_contexts.append(context)
    try:
        yield
    finally:
        # Other threads may have opened contexts since.
        _open_contexts[:] = [
            other for other in _open_contexts if other is not context
        ]


def load_if_supported(
    shape: Sequence[int | None], dtype: Any, on_gpus: bool = True
) -> bool:
    """Loads the native library if it supports x, and returns whether it does.

    If it cannot be loaded, this function warns once and returns `False`.

    Args:
        shape: the shape of x.
        dtype: the dtype of x.
        on_gpus: whether the operation has kernels for GPUs.

    Raises: `RuntimeError` if it cannot be loaded in the mode "always".
    """
    dtype = keras.backend.standardize_dtype(dtype)
    backend = keras.backend.backend()
    if backend != "tensorflow":
        if mode() == "always":
            raise RuntimeError(
                "The mode 'always', set by `KERAS_NORMS_NATIVE` or "
                "`using_native`, needs the TensorFlow backend of Keras. "
                f"Received: the backend {backend}. Use the mode 'auto'."
            )
        return False
    if not _is_supported(shape, dtype):
        return False
    try:
        # There are no kernels for GPUs in float64.
        if gpus() and (dtype == "float64" or not on_gpus):
            return False
        _prepare()
    except UnusableError as error:
        if mode() == "always":
            raise RuntimeError(
                "The mode 'always', set by `KERAS_NORMS_NATIVE` or "
                "`using_native`, needs the native library, which is not "
                f"active. {error}"
            ) from error
        _warn(str(error))
        return False
    return True


def _is_supported(shape, dtype):
    """Whether native operations may be traced here for x."""
    if mode() == "never":
        return False
    if dtype not in _DTYPES:
        return False
    if _open_contexts[-1:] != [["always"]] and tracing.exporting():
        return False
    # Under XLA, the tensors that a branch saves for its gradient have dynamic
    # sizes if the sizes are unknown, and custom calls have static sizes only.
    dynamic = None in shape and tracing.compiling() and tracing.in_branch()
    return not dynamic


def _prepare():
    """Loads the libraries that the operations traced here need.

    Raises: `UnusableError`.
    """
    loader.load()
    if gpus():
        check_gpus(gpus())
    if tracing.compiling():
        loader.load(XLA_LIBRARY)
    elif tracing.in_graph():
        # XLA may later compile a function that calls the one traced now. A
        # failure is not an error before that.
        loader.unusable_reason(XLA_LIBRARY)


@functools.cache
def _warn(reason):
    warnings.warn(
        "keras_norms is running without its native library and will be "
        f"slower. {reason} Set KERAS_NORMS_NATIVE=never to silence this "
        "warning.",
        stacklevel=2,
    )


@functools.cache
@raising_unusable(
    "TensorFlow cannot list the GPUs",
    "Update TensorFlow and the GPU's driver.",
)
def gpus():
    """The compute capabilities of the GPUs that TensorFlow uses."""
    import tensorflow as tf

    if not tf.config.list_logical_devices("GPU"):
        return ()
    details = tf.config.experimental.get_device_details
    return tuple(
        details(gpu).get("compute_capability")
        for gpu in tf.config.get_visible_devices("GPU")
    )
