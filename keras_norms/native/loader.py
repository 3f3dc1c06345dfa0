"""Loads the native library, once per process."""

import sys
import threading
import types

from keras_norms.native import cache
from keras_norms.native.errors import REBUILD
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import raising_unusable

# TensorFlow aborts if operations are registered twice. This module survives
# a second import of the package.
_LOADED = sys.modules.setdefault(
    "_keras_norms_loaded", types.ModuleType("_keras_norms_loaded")
)
vars(_LOADED).setdefault("lock", threading.RLock())


def run_once(name, function):
    """Calls a function once per process, and returns its result every time.

    Args:
        name: the key of the result.
        function: a function without arguments.

    Raises: `UnusableError` if the function raised it, with the same message
        in every call.
    """
    results = vars(_LOADED).setdefault("libraries", {})
    if name not in results:
        with vars(_LOADED)["lock"]:
            if name not in results:
                try:
                    results[name] = function()
                except UnusableError as error:
                    # Only the message is stored. An exception that is raised
                    # repeatedly keeps the frames of all its callers, and
                    # their tensors.
                    results[name] = str(error)
    if isinstance(results[name], str):
        raise UnusableError(results[name])
    return results[name]


def load(name=cache.LIBRARY):
    """Loads a library, and returns the module of its operations.

    The result is `True` for the library of XLA, which has no operations.

    Raises: `UnusableError` if the library cannot be loaded.
    """
    return run_once(name, lambda: _load(name))


@raising_unusable("The native library cannot be loaded", REBUILD)
def _load(name):
    path = str(cache.find_library(name))
    import tensorflow as tf

    from keras_norms.native import gradients

    if name == cache.XLA_LIBRARY:
        load()
        tf.load_library(path)
        return True
    operations = tf.load_op_library(path)
    gradients.register(operations)
    return operations


def unusable_reason(name=cache.LIBRARY):
    """Returns why a library cannot be loaded, or `None` if it is loaded."""
    try:
        load(name)
    except UnusableError as error:
        return str(error)
    return None


def clear_failures():
    """Lets the next call try again to load what failed before."""
    cache.gpus.cache_clear()
    results = vars(_LOADED).setdefault("libraries", {})
    for name in [n for n, value in results.items() if isinstance(value, str)]:
        del results[name]
