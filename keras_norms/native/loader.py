"""Loads the library, once a process."""

import sys
import threading
import types

from keras_norms.native import cache
from keras_norms.native.errors import REBUILD
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import explained

# TensorFlow aborts where ops are registered twice. This outlives a second
# import of the package.
_LOADED = sys.modules.setdefault(
    "_keras_norms_loaded", types.ModuleType("_keras_norms_loaded")
)
vars(_LOADED).setdefault("lock", threading.RLock())


def once(name, function):
    """What a function returns, called once a process under this name.

    Raises: `UnusableError`, with the same words again where the function
        raised it before.
    """
    known = vars(_LOADED).setdefault("libraries", {})
    if name not in known:
        with vars(_LOADED)["lock"]:
            if name not in known:
                try:
                    known[name] = function()
                except UnusableError as error:
                    # Words alone: an exception that is raised again keeps the
                    # frames of all its callers, and their tensors.
                    known[name] = str(error)
    if isinstance(known[name], str):
        raise UnusableError(known[name])
    return known[name]


def load(name=cache.LIBRARY):
    """The module of a library's ops (True for XLA's part).

    Raises: `UnusableError`, the same again where it was raised before.
    """
    return once(name, lambda: _load(name))


@explained("The native library cannot be loaded", REBUILD)
def _load(name):
    path = str(cache.found(name))
    import tensorflow as tf

    from keras_norms.native import gradients

    if name == cache.XLA_LIBRARY:
        load()
        tf.load_library(path)
        return True
    operations = tf.load_op_library(path)
    gradients.register(operations)
    return operations


def reason(name=cache.LIBRARY):
    """Why a library is not active, or None where it is."""
    try:
        load(name)
    except UnusableError as error:
        return str(error)
    return None


def forget():
    """Looks for what could not be loaded before: after a build."""
    cache.gpus.cache_clear()
    known = vars(_LOADED).setdefault("libraries", {})
    for name in [n for n, value in known.items() if isinstance(value, str)]:
        del known[name]
