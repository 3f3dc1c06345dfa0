"""The names of the initial kernels of depthwise convolutions."""

import keras

from keras_norms.layers.identity_kernel import IdentityKernel
from keras_norms.layers.uniform_kernel import UniformKernel
from keras_norms.types import Identifier


def get(identifier: Identifier) -> Identifier:
    """The initializer for `"identity"`, `"uniform"` or a name of Keras."""
    named = {"identity": IdentityKernel, "uniform": UniformKernel}
    if isinstance(identifier, str) and identifier in named:
        return named[identifier]()
    return keras.initializers.get(identifier)
