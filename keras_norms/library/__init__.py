"""The native library: where it is, how it is built, how it is loaded."""

from keras_norms.library.build import build
from keras_norms.library.cache import XLA_LIBRARY
from keras_norms.library.errors import UnusableError
from keras_norms.library.errors import explained
from keras_norms.library.gpus import serve_gpus
from keras_norms.library.load import forget
from keras_norms.library.load import load
from keras_norms.library.load import reason

__all__ = [
    "XLA_LIBRARY",
    "UnusableError",
    "build",
    "explained",
    "forget",
    "load",
    "reason",
    "serve_gpus",
]
