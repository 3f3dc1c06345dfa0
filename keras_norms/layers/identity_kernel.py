import math
from typing import Any

import keras
from keras import ops

from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
class IdentityKernel(keras.initializers.Initializer):
    """1 in the middle of each channel's kernel and 0 elsewhere."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        elements = math.prod(shape[:-2])
        kernel = ops.one_hot(elements // 2, elements, dtype=dtype)
        kernel = ops.reshape(kernel, (*shape[:-2], 1, 1))
        # PyTorch assigns weights in place, which a broadcast view refuses.
        return ops.zeros(shape, dtype) + kernel
