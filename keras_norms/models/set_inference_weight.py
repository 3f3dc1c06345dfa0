"""Sets the weight of an example's own moments in a whole model."""

import warnings

import keras

from keras_norms import validation
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.models.traversal import forget_traces
from keras_norms.models.traversal import layers_within


def set_inference_weight(
    model: keras.layers.Layer, weight: float
) -> list[BaseBatchNormalization]:
    """Sets `inference_weight` of all layers of a model that have one.

    The functions that `predict`, `evaluate` and `fit` have traced are
    discarded and traced again. After a direct assignment to a layer's
    attribute, they continue to use the previous value. A warning reports the
    batch normalizations of Keras, which have no `inference_weight`.

    Args:
        model: Model or layer. Layers of nested models and of wrappers are
            included.
        weight: Float from 0 to 1, the weight of an example's own moments in
            those that normalize it at inference, see `BatchNormalization`.

    Returns:
        List of the layers whose `inference_weight` was set.

    Raises:
        ValueError: If `weight` is not a number from 0 to 1, or if the model
            has no such layer.

    Example:

    >>> import keras
    >>> import keras_norms
    >>> model = keras.Sequential([keras_norms.layers.BatchNormalization()])
    >>> layers = keras_norms.models.set_inference_weight(model, 0.1)
    >>> print([layer.inference_weight for layer in layers])
    [0.1]

    Reference:

    - Summers and Dinneen, Four Things Everyone Should Know to Improve Batch
      Normalization, 2020, [arXiv 1906.03548](https://arxiv.org/abs/1906.03548),
      section on inference example weighing.
    """
    weight = validation.fraction("weight", weight)
    layers = layers_with_inference_weight(model)
    for layer in layers:
        layer.inference_weight = weight
    forget_traces(model)
    return layers


def layers_with_inference_weight(
    model: keras.layers.Layer,
) -> list[BaseBatchNormalization]:
    """The layers with an `inference_weight`, and a warning about others."""
    batch_norms = [
        layer
        for layer in layers_within(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    found = [
        layer
        for layer in batch_norms
        if isinstance(layer, BaseBatchNormalization)
    ]
    if not found:
        raise ValueError(
            "The model must contain a keras_norms layer with running "
            "statistics, which has an `inference_weight`. Received: "
            f"{model.name!r}, which contains none. Replace its layers by "
            "those of keras_norms, with `keras.models.clone_model` and its "
            "`clone_function`."
        )
    others = len(batch_norms) - len(found)
    if others:
        warnings.warn(
            f"{others} of the {len(batch_norms)} batch "
            f"normalization layers of {model.name!r} are layers of Keras, "
            "which have no `inference_weight`, and do not change. Replace "
            "them by those of keras_norms, with `keras.models.clone_model` "
            "and its `clone_function`, which must clone nested models "
            "itself.",
            stacklevel=3,
        )
    return found
