"""Converts the normalization layers of a model to other ones."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import keras

from keras_norms import layers
from keras_norms import validation
from keras_norms.models.conversions import converted
from keras_norms.models.conversions import converts
from keras_norms.models.conversions import counterpart
from keras_norms.models.conversions import dropped_weights
from keras_norms.models.copying import copy_with
from keras_norms.models.traversal import layers_by_path


class LayerConversion(NamedTuple):
    """What `convert_normalization` did with one layer.

    `path` has the names of the layers that contain the layer and its own.
    `before` and `after` are the names of its class and of the new class.
    `dropped` has the names of the weights that have no counterpart.
    """

    path: str
    before: str
    after: str
    dropped: tuple[str, ...]


def convert_normalization(
    model: keras.Model,
    to: Any,
    groups: int | str = "auto",
    predicate: Callable[[keras.layers.Layer], bool] | None = None,
    return_report: bool = False,
    **kwargs: Any,
) -> Any:
    """Returns a copy of a model with other normalization layers.

    The copy has the weights, the names, the dtype policies and the
    `trainable` flags of the original, which does not change. Batch
    normalizations become any of the batch normalizations of this package or
    of Keras, or group normalizations. Group and layer normalizations become
    the same of this package or of Keras. Layers are found in sequential and
    functional models at any depth of nesting, in wrappers, and in attributes
    of subclassed models and layers. Shared layers stay shared.

    From batch to group normalization, the running statistics are folded into
    gamma and beta, so that outputs have the same scale on average. With
    `mean_g` and `var_g`, the moments of a group if its channels have the
    running statistics:

    ```
    mean_g = mean of moving_mean over the group
    var_g = mean of (moving_variance + (moving_mean - mean_g)^2)
    gamma' = gamma sqrt(var_g + epsilon) / sqrt(moving_variance + epsilon)
    beta' = beta + gamma (mean_g - moving_mean)
                   / sqrt(moving_variance + epsilon)
    ```

    Outputs differ for each example, so the model should be trained for some
    steps. Conversions between batch normalizations do not change inference:
    where a new layer has a gate, which starts at `sigmoid(1)`, gamma is
    divided by it. Conversions to a class without some of the weights drop
    them, as the report says.

    A compiled model's copy is compiled with the same configuration and a new
    optimizer. The class of a functional model is kept if its constructor
    receives the layers that are converted, as a task of KerasHub receives its
    backbone. Otherwise, as for the backbone, the copy is a `keras.Model`, and
    a warning says so.

    Args:
        model: Built model.
        to: What layers become. One of: a class, or the name of a class of
            `keras_norms.layers`; `"keras_norms"` or `"keras"` for the layer of
            the same kind in this package or in Keras; a dictionary from layer
            names or paths, such as `"backbone/bn1"`, to any of these; or a
            function from a layer to any of these, or to `None` for layers
            that stay.
        groups: Integer, or `"auto"`: the groups of batch normalizations that
            become group normalizations. `"auto"` is the largest divisor up to
            32 that leaves at least 4 channels per group. Defaults to
            `"auto"`.
        predicate: Function from a layer to whether it is converted, or
            `None` for all. Defaults to `None`.
        return_report: Boolean, whether to return the report as well. Defaults
            to `False`.
        **kwargs: Arguments of the new layers, such as `ghost_batch_size`.
            The arguments of Keras's layers, the activation and
            `inference_weight` are those of the layers that they replace.

    Returns:
        The new model. With `return_report=True`, also a list with a
        `LayerConversion` for each layer: `path`, `before`, `after`, and
        `dropped`, the names of the weights that have no counterpart.

    Raises:
        ValueError: If `model` is not a built model, if `to` is unknown, if no
            layer can be converted, if `groups` does not divide the number of
            channels, or if a layer cannot be copied.

    Example:

    >>> import keras
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((32, 32, 3)),
    ...     keras.layers.Conv2D(16, 3),
    ...     keras.layers.BatchNormalization(),
    ... ])
    >>> new, report = keras_norms.models.convert_normalization(
    ...     model, "GroupNormalization", return_report=True)
    >>> print(new.layers[1].groups, report[0].before, report[0].after)
    4 BatchNormalization GroupNormalization

    Reference:

    - Wu and He, Group Normalization, 2018,
      [arXiv 1803.08494](https://arxiv.org/abs/1803.08494), section 4.1, for
      fine-tuning with another normalization.
    """
    validation.built_model(model)
    if groups != "auto":
        validation.groups(groups)
    pairs, report = [], []
    found = layers_by_path(model)
    conditional = [
        layer.normalization
        for _, layer in found
        if isinstance(layer, layers.ConditionalNormalization)
    ]
    for path, layer in found:
        target = _target(to, path, layer, kwargs)
        if target is None or (predicate and not predicate(layer)):
            continue
        arguments = kwargs
        if layer in conditional:
            if not issubclass(target, layers.BaseNormalization):
                continue
            # A convolution has no scale and shift to condition.
            if "affine" in target(**kwargs).get_config():
                arguments = {**kwargs, "affine": "channel"}
        new = converted(layer, target, groups, arguments)
        pairs.append((layer, new))
        before, dropped = type(layer).__name__, dropped_weights(layer, new)
        report.append(LayerConversion(path, before, target.__name__, dropped))
    if not pairs:
        raise ValueError(
            "The model must have a normalization layer that can be converted. "
            f"Received: model={model.name!r}, to={to!r}, and no such layer. "
            "Batch normalizations become batch or group normalizations, and "
            "other layers become the same kind of another package."
        )
    copy = copy_with(model, pairs)
    return (copy, report) if return_report else copy


def _target(
    to: Any, path: str, layer: keras.layers.Layer, arguments: Any
) -> type | None:
    """The class that a layer becomes, or `None` if it stays."""
    source = type(layer)
    if isinstance(to, Mapping):
        to = to.get(path, to.get(layer.name))
    elif callable(to) and not isinstance(to, type):
        to = to(layer)
    if to is None:
        return None
    if to in ("keras", "keras_norms"):
        target = counterpart(source, to)
    elif isinstance(to, type) and issubclass(to, keras.layers.Layer):
        target = to
    elif to in layers.__all__:
        target = getattr(layers, to)
    else:
        names = "', '".join(layers.__all__)
        raise ValueError(
            "`to` must be a layer class, 'keras_norms', 'keras', or one of "
            f"'{names}'. Received: to={to!r}."
        )
    same = target is source and not arguments
    if target is None or same or not converts(source, target):
        return None
    return target
