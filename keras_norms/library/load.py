"""Loads the library, once a process."""

import sys
import types

from keras_norms.library import cache

# TensorFlow aborts where ops are registered twice. This outlives a second
# import of the package.
_LOADED = sys.modules.setdefault(
    "_keras_norms_loaded", types.ModuleType("_keras_norms_loaded")
)


def load(name=cache.LIBRARY):
    """The module of a library's ops (True for XLA's part).

    Raises: `cache.UnusableError`, the same again where it was raised before.
    """
    known = vars(_LOADED).setdefault("libraries", {})
    if name not in known:
        try:
            known[name] = _load(name)
        except cache.UnusableError as error:
            known[name] = error
    if isinstance(known[name], cache.UnusableError):
        raise known[name]
    return known[name]


def _load(name):
    import tensorflow as tf

    from keras_norms.library import gradients

    path = str(cache.found(name))
    try:
        if name == cache.XLA_LIBRARY:
            load()
            tf.load_library(path)
            return True
        operations = tf.load_op_library(path)
        gradients.register(operations)
        return operations
    except (tf.errors.OpError, OSError) as error:
        raise cache.UnusableError(
            f"It cannot be loaded: {error}. Build it again with `python -m "
            "keras_norms build --force`."
        ) from error


def serve_gpus(capabilities):
    """Whether there are kernels for GPUs of these compute capabilities.

    Machine code is for its architecture and later minor versions of it, PTX
    for all that came after it.

    Arguments:
        capabilities: (major, minor) each, or None for what is not NVIDIA's.

    Raises: `cache.UnusableError` where one has none.
    """
    built = cache.gpus()
    if not built:
        raise cache.UnusableError(
            "It has been built without kernels for GPUs. `pip install "
            "nvidia-cuda-nvrtc-cu12`, and build it again with `python -m "
            "keras_norms build`."
        )
    codes = [divmod(int(n[3:]), 10) for n in built if n.startswith("sm_")]
    later = "compute_90" in built
    for capability in capabilities:
        if capability is None:
            raise cache.UnusableError(
                "It has kernels for NVIDIA's GPUs alone, and here is another."
            )
        major, minor = capability
        code = any(m == major and n <= minor for m, n in codes)
        if not code and not (later and capability >= (9, 0)):
            raise cache.UnusableError(
                "It has no kernels for a GPU of compute capability "
                f"{major}.{minor}, but for {', '.join(built)}."
            )


def reason(name=cache.LIBRARY):
    """Why a library is not active, or None where it is."""
    try:
        load(name)
    except cache.UnusableError as error:
        return str(error)
    return None


def forget():
    """Looks for what could not be loaded before: after a build."""
    cache.gpus.cache_clear()
    known = vars(_LOADED).setdefault("libraries", {})
    for name in [n for n, v in known.items() if isinstance(v, Exception)]:
        del known[name]
