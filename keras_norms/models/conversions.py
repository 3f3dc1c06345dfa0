"""Normalization layers that take the place of others."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_norms import layers
from keras_norms.types import Config

_BATCH = keras.layers.BatchNormalization
_GROUP = keras.layers.GroupNormalization
_LAYER = keras.layers.LayerNormalization


def kind(layer_class: type) -> type | None:
    """The class of Keras whose parameters a normalization has, or `None`."""
    if issubclass(layer_class, layers.DomainSpecificBatchNormalization):
        return None
    # The layers of keras_norms inherit from Keras's, for `isinstance`.
    classes = (_BATCH, _GROUP, _LAYER)
    return next((k for k in classes if issubclass(layer_class, k)), None)


def converts(source: type, target: type) -> bool:
    """Whether layers of one class can take the place of another's."""
    if kind(source) is None:
        return False
    return kind(source) is kind(target) or (
        kind(source) is _BATCH and kind(target) is _GROUP
    )


def counterpart(source: type, package: str) -> type | None:
    """The layer of the same kind in a package, or `None` if there is none."""
    source_kind = kind(source)
    if package == "keras":
        return source_kind
    if source_kind is None or source.__module__.startswith("keras_norms"):
        return None
    return getattr(layers, source_kind.__name__, None)


def converted(
    layer: keras.layers.Layer, target: type, groups: Any, arguments: Config
) -> keras.layers.Layer:
    """Returns a built layer of the class `target` with a layer's weights.

    The arguments of Keras's layer, such as the name, epsilon and the
    initializers, are those of the layer, unless `arguments` has them.
    """
    prototype = target(**arguments)
    accepted = prototype.get_config()
    shape = layer.get_build_config()["input_shape"]
    config = layer.get_config()
    if type(layer) is not target:
        config = {name: config[name] for name in _shared(layer, config)}
        if "groups" in accepted:
            config.setdefault("groups", _groups(layer, groups, shape))
    if _differs(layer, prototype):
        config.update(center=True, scale=True)
    if getattr(prototype, "synchronized", False):
        config["synchronized"] = True
    config = {name: config[name] for name in accepted if name in config}
    copy = target(**{**config, **arguments})
    copy.build(shape)
    values = {v.name: ops.convert_to_numpy(v) for v in layer.weights}
    for weight in copy.weights:
        if weight.name in values and weight.shape == values[weight.name].shape:
            weight.assign(values[weight.name])
    if _differs(layer, copy):
        _assign_affine(copy, *inference_affine(layer), *_running(layer))
    copy.trainable = layer.trainable
    return _with_activation(layer, copy)


def _with_activation(layer: Any, copy: Any) -> keras.layers.Layer:
    """The copy, followed by the layer's activation if it has none."""
    activation = getattr(layer, "activation", None)
    linear = keras.activations.linear
    if activation in (None, linear) or hasattr(copy, "activation"):
        return copy
    shape = layer.get_build_config()["input_shape"]
    both = [
        keras.Input(batch_shape=shape),
        copy,
        keras.layers.Activation(activation, dtype=layer.dtype_policy),
    ]
    return keras.Sequential(both, name=layer.name)


def dropped_weights(layer: Any, copy: Any) -> tuple[str, ...]:
    """The names of the weights that have no counterpart in a new layer."""
    remaining = {weight.name for weight in copy.weights}
    # A depthwise convolution takes the place of gamma and beta. They take its
    # place without the weights of neighbors.
    remaining |= {"gamma", "beta"} if "kernel" in remaining else {"bias"}
    names = [weight.name for weight in layer.weights]
    return tuple(name for name in names if name not in remaining)


def largest_groups(channels: int) -> int:
    """The most groups, up to 32, with at least 4 channels each.

    Fewer than 4 channels are one group.
    """
    return max(
        groups
        for groups in range(1, 33)
        if groups == 1 or (channels % groups == 0 and channels // groups >= 4)
    )


def _shared(layer: Any, config: Config) -> list[str]:
    """The arguments that mean the same for every layer of this kind."""
    keras_class = kind(type(layer)) or keras.layers.Layer
    names = {"activation", "inference_weight", *keras_class().get_config()}
    return [name for name in config if name in names]


def _groups(layer: Any, groups: Any, shape: Any) -> int:
    """The argument `groups` of a layer whose predecessor has none."""
    if isinstance(layer, layers.InstanceNormalization):
        return -1
    return largest_groups(shape[layer.axis]) if groups == "auto" else groups


def _differs(layer: Any, copy: Any) -> bool:
    """Whether the same gamma and beta have different outputs at inference."""
    if kind(type(layer)) is not _BATCH:
        return False
    return any(
        feature(layer) != feature(copy)
        for feature in (_is_gated, _is_convolved, _is_grouped)
    )


def _is_gated(layer: Any) -> bool:
    return getattr(layer, "gate_of", None) is not None


def _is_convolved(layer: Any) -> bool:
    return getattr(layer, "convolution", None) is not None


def _is_grouped(layer: Any) -> bool:
    """Whether the channels of a group share their statistics."""
    return hasattr(layer, "groups")


def _running(layer: Any) -> tuple[Any, Any]:
    mean, variance = layer.moving_mean, layer.moving_variance
    return (
        ops.convert_to_numpy(mean).astype("float64"),
        ops.convert_to_numpy(variance).astype("float64"),
    )


def inference_affine(layer: Any) -> tuple[Any, Any]:
    """The scale and the shift of x in each channel at inference.

    Those of neighbors are left out, and a gate is that of
    `scale_weight = 0`.
    """
    gamma, beta = layer.gamma, layer.beta
    if _is_convolved(layer):
        kernel = ops.convert_to_numpy(layer.kernel)
        gamma = kernel.reshape(-1, kernel.shape[-2])[_middle(kernel)]
        beta = layer.bias
    gamma = 1.0 if gamma is None else ops.convert_to_numpy(gamma)
    beta = 0.0 if beta is None else ops.convert_to_numpy(beta)
    gate, gate_of_shift = _gates(layer)
    center, stddev = _statistics(layer, *_running(layer))
    scale = gamma * gate / stddev
    return scale, beta * gate_of_shift - scale * center


def _assign_affine(
    layer: Any, scale: Any, shift: Any, mean: Any, variance: Any
) -> None:
    """The inverse of `inference_affine`."""
    center, stddev = _statistics(layer, mean, variance)
    gate, gate_of_shift = _gates(layer)
    gamma = scale * stddev / gate
    beta = (shift + scale * center) / gate_of_shift
    if _is_convolved(layer):
        kernel = np.zeros(layer.kernel.shape)
        kernel.reshape(-1, kernel.shape[-2])[_middle(kernel)] = gamma
        weights = (layer.kernel, kernel), (layer.bias, beta)
    else:
        weights = (layer.gamma, gamma), (layer.beta, beta)
    for weight, value in weights:
        if weight is not None:
            weight.assign(np.broadcast_to(value, weight.shape))


def _middle(kernel: Any) -> int:
    return math.prod(kernel.shape[:-2]) // 2


def _gates(layer: Any) -> tuple[Any, Any]:
    """The factors of gamma and of beta."""
    if not _is_gated(layer):
        return 1.0, 1.0
    gate = 1.0 / (1.0 + np.exp(-ops.convert_to_numpy(layer.scale_bias)))
    # Unified batch norm's gate multiplies the shift, too.
    return gate, gate if hasattr(layer, "convolution") else 1.0


def _statistics(layer: Any, mean: Any, variance: Any) -> tuple[Any, Any]:
    """The center and the standard deviation of each channel.

    Those of a group are those of its channels if these have the running
    statistics.
    """
    channels = len(mean)
    if _is_grouped(layer):
        groups = channels if layer.groups == -1 else layer.groups
        by_group = mean.reshape(groups, -1)
        center = by_group.mean(1, keepdims=True)
        square = variance.reshape(groups, -1) + np.square(by_group - center)
        variance = square.mean(1, keepdims=True)
        mean, variance = (
            np.broadcast_to(each, by_group.shape).ravel()
            for each in (center, variance)
        )
    return mean, np.sqrt(variance + layer.epsilon)
