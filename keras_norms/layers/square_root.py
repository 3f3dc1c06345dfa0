"""The initializer of running standard deviations."""

from typing import Any

import keras
from keras import ops

from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
class SquareRoot(keras.initializers.Initializer):
    """The square root of the values of another initializer."""

    def __init__(self, initializer: Identifier) -> None:
        self.initializer = keras.initializers.get(initializer)

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return ops.sqrt(self.initializer(shape, dtype))

    def get_config(self) -> Config:
        serialize = keras.initializers.serialize
        return {"initializer": serialize(self.initializer)}
