"""The native library: where it is, how it is built, how it is loaded."""

from keras_norms.library.build import build
from keras_norms.library.load import load
from keras_norms.library.load import reason

__all__ = ["build", "load", "reason"]
