"""Keras 3 normalization layers: accurate, fast, safe under distribution."""

from keras_norms import _requirements  # noqa: F401  must come first
from keras_norms import callbacks
from keras_norms import layers
from keras_norms import models
from keras_norms import ops
from keras_norms import regularizers
from keras_norms.version import __version__

__all__ = [
    "__version__",
    "callbacks",
    "layers",
    "models",
    "ops",
    "regularizers",
]
