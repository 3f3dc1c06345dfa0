"""The first value of a running standard deviation."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_norms")
class SquareRoot(keras.initializers.Initializer):
    """The square root of the values of another initializer."""

    def __init__(self, initializer):
        self.initializer = keras.initializers.get(initializer)

    def __call__(self, shape, dtype=None):
        return ops.sqrt(self.initializer(shape, dtype))

    def get_config(self):
        serialize = keras.initializers.serialize
        return {"initializer": serialize(self.initializer)}
