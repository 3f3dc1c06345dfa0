import math
from typing import Any

import keras

from keras_norms.types import Config
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
class UniformKernel(keras.initializers.Initializer):
    """Uniform within `1 / sqrt(n)`, with n elements in a channel's kernel.

    This is the default of convolutions in PyTorch.

    Args:
        seed: Integer, or `None` for other values in every call. Defaults to
            `None`.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        bound = 1.0 / math.sqrt(math.prod(shape[:-2]))
        uniform = keras.initializers.RandomUniform(-bound, bound, self.seed)
        return uniform(shape, dtype)

    def get_config(self) -> Config:
        return {"seed": self.seed}
