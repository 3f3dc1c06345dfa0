"""Arguments that are objects, in the configurations of layers."""

from typing import Any

import keras

from keras_norms.types import Config

_MODULES = {
    "activation": keras.activations,
    "constraint": keras.constraints,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
}


def serialized(layer: Any, *names: str) -> Config:
    """The serialized attributes of a layer, by name.

    The last word of a name, such as `kernel_initializer`, is its kind.
    """
    return {
        name: _MODULES[name.rpartition("_")[2]].serialize(getattr(layer, name))
        for name in names
    }
