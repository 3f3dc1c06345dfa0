"""The layers whose kernels `WeightStandardization` standardizes."""

from typing import Any

import keras

TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_OTHERS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
)
# Modes that compute an integer kernel once and do not train it.
INTEGER_MODES = ("int8", "int4")


def check_wrapped(layer: keras.layers.Layer) -> None:
    """Refuses a layer that cannot be wrapped."""
    if not isinstance(layer, _OTHERS + TRANSPOSED + DEPTHWISE):
        raise ValueError(
            "WeightStandardization wraps convolutions, including transposed "
            "and depthwise ones, and Dense layers. Received: "
            f"layer={layer!r} of type {type(layer).__name__}. Wrap the "
            "layers of the model that have a kernel."
        )
    check_kernel(layer)
    if layer.built and layer.quantization_mode is not None:
        raise ValueError(
            "WeightStandardization must wrap a layer before the layer is "
            f"quantized. Received: {layer.name!r}, quantized as "
            f"{layer.dtype_policy.name!r}. Wrap the layer first, then "
            "quantize the model."
        )


def check_kernel(layer: keras.layers.Layer) -> None:
    """Refuses a layer that does not compute with its kernel alone."""
    low_rank = getattr(layer, "lora_enabled", False)
    if low_rank or layer.quantization_mode not in (None, *INTEGER_MODES):
        change = (
            "with a low-rank update"
            if low_rank
            else f"quantized as {layer.dtype_policy.name!r}"
        )
        raise ValueError(
            "WeightStandardization requires a kernel that is trained as it "
            f"is stored. Received: {layer.name!r}, {change}. Exclude the "
            "wrapped layer from it."
        )


def set_dtype(layer: keras.layers.Layer, dtype: Any) -> None:
    """Gives a layer that is not built yet a dtype policy, unless `None`."""
    if dtype is None:
        return
    policy = keras.dtype_policies.get(dtype)
    if policy == layer.dtype_policy:
        return
    if layer.built:
        raise ValueError(
            "WeightStandardization has the dtype of the wrapped layer, "
            "which cannot change after the layer is built. Received: "
            f"dtype={policy.name!r} for {layer.name!r}, which is built with "
            f"{layer.dtype_policy.name!r}. Omit `dtype`, or wrap the layer "
            "before it is built."
        )
    layer.dtype_policy = policy
