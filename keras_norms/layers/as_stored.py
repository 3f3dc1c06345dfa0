"""Reads variables in the dtype they are stored in."""

from collections.abc import Callable

import keras

from keras_norms.types import Tensor


class _AsStored(keras.layers.Layer):
    """Calls a function that reads variables in the dtype they are stored in.

    A layer with a mixed policy reads variables in its compute dtype. A call
    from a layer without autocasting prevents that.
    """

    def call(
        self, inputs: Tensor, function: Callable[[Tensor], Tensor]
    ) -> Tensor:
        return function(inputs)

    def compute_mask(
        self, inputs: Tensor, previous_mask: Tensor | None
    ) -> None:
        return None


AS_STORED = _AsStored(dtype="float32", autocast=False)
