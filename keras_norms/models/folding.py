"""A batch normalization and a neighbor as one layer."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_norms import layers
from keras_norms.models.conversions import inference_affine

_STATIC = (
    layers.BatchNormalization,
    layers.GhostBatchNormalization,
    layers.CrossReplicaBatchNormalization,
    layers.BatchGroupNormalization,
)
_LINEAR = keras.activations.linear
_DENSE = (keras.layers.Dense,)
_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def is_static(layer: Any) -> bool:
    """Whether inference multiplies and adds numbers, one per channel."""
    if type(layer) is keras.layers.BatchNormalization:
        return True
    # Subclasses may override the algebra.
    return type(layer) in _STATIC and layer.inference_weight == 0


def identity(layer: Any) -> keras.layers.Layer:
    """What is left of a batch normalization."""
    # Keras can only save this layer with the name of a policy.
    dtype = layer.dtype_policy.name
    copy = keras.layers.Identity(name=layer.name, dtype=dtype)
    copy.build(layer.get_build_config()["input_shape"])
    return copy


def folded_before(layer: Any, norm: Any) -> keras.layers.Layer | None:
    """A layer with the batch normalization after it, or `None`."""
    kinds = (_DENSE, _CONVOLUTIONS, _TRANSPOSED, _DEPTHWISE, _SEPARABLE)
    if not _fits(layer, norm, kinds) or layer.activation is not _LINEAR:
        return None
    scale, shift = inference_affine(norm)
    weights = {v.name: _float64(v) for v in layer.weights}
    bias = scale * weights.get("bias", 0.0) + shift
    name = "pointwise_kernel" if type(layer) in _SEPARABLE else "kernel"
    kernel = weights[name]
    if type(layer) in _TRANSPOSED:
        scale = scale[:, None]
    elif type(layer) in _DEPTHWISE:
        scale = scale.reshape(kernel.shape[-2:])
    return _rebuilt(
        layer,
        {**weights, name: kernel * scale, "bias": bias},
        getattr(norm, "activation", _LINEAR),
    )


def folded_after(norm: Any, layer: Any) -> keras.layers.Layer | None:
    """A layer with the batch normalization before it, or `None`."""
    if not _fits(layer, norm, (_DENSE, _CONVOLUTIONS)):
        return None
    if getattr(norm, "activation", _LINEAR) is not _LINEAR:
        return None
    # Padding adds zeros after the normalization, whatever the shift is.
    padded = getattr(layer, "padding", "valid") != "valid"
    if padded and math.prod(layer.kernel_size) > 1:
        return None
    if getattr(layer, "groups", 1) > 1:
        return None
    scale, shift = inference_affine(norm)
    weights = {v.name: _float64(v) for v in layer.weights}
    kernel = weights["kernel"]
    positions = tuple(range(kernel.ndim - 2))
    bias = shift @ kernel.sum(positions) + weights.get("bias", 0.0)
    kernel = kernel * scale[:, None]
    return _rebuilt(layer, {"kernel": kernel, "bias": bias}, layer.activation)


def _fits(layer: Any, norm: Any, kinds: Any) -> bool:
    """Whether a layer is of a kind, with the channel axis of the other."""
    if not any(type(layer) in each for each in kinds):
        return False
    rank = len(norm.get_build_config()["input_shape"])
    first = getattr(layer, "data_format", None) == "channels_first"
    return norm.axis % rank == (1 if first else rank - 1)


def _float64(variable: Any) -> Any:
    return ops.convert_to_numpy(variable).astype("float64")


def _rebuilt(layer: Any, weights: Any, activation: Any) -> Any:
    """A layer with other weights, among them a bias."""
    config = {
        **layer.get_config(),
        "use_bias": True,
        "activation": keras.activations.serialize(activation),
    }
    copy = type(layer).from_config(config)
    copy.build(layer.get_build_config()["input_shape"])
    for variable in copy.weights:
        value = np.broadcast_to(weights[variable.name], variable.shape)
        variable.assign(value)
    copy.trainable = layer.trainable
    return copy
