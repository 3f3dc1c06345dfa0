"""The share of an example's own statistics, for a whole model."""

import warnings

import keras

from keras_norms import validation
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.models.traversal import forget_traces
from keras_norms.models.traversal import layers_within


def set_inference_weight(model, weight):
    """Sets `inference_weight` of all layers of a model that have one.

    What the model's `predict`, `evaluate` and `fit` have traced is traced
    anew: they would otherwise go on with the value of before, as they do where
    a layer's attribute is assigned by hand.

    Arguments:
        model: a model, or a layer; layers in nested models and in wrappers
            are found.
        weight: the share, from 0 to 1, of an example's own moments in those
            that normalize it at inference (`BatchNormalization`).

    Returns: the layers that were set.

    Raises: ValueError for a weight outside [0, 1], and for a model without
        such a layer. Warns of Keras's batch norms, which have no such share.

    Example:

    >>> import keras
    >>> import keras_norms
    >>> model = keras.Sequential([keras_norms.layers.BatchNormalization()])
    >>> layers = keras_norms.models.set_inference_weight(model, 0.1)
    >>> print([layer.inference_weight for layer in layers])
    [0.1]

    Source: Summers and Dinneen, Four Things Everyone Should Know to Improve
    Batch Normalization, ICLR 2020 (arXiv 1906.03548), section on inference
    example weighing.
    """
    weight = validation.fraction("weight", weight)
    layers = weighable(model)
    for layer in layers:
        layer.inference_weight = weight
    forget_traces(model)
    return layers


def weighable(model):
    """Layers with an `inference_weight`; tells of those that lack it."""
    layers = layers_within(model)
    ours = [la for la in layers if isinstance(la, BaseBatchNormalization)]
    theirs = [
        la
        for la in layers
        if isinstance(la, keras.layers.BatchNormalization) and la not in ours
    ]
    if not ours:
        raise ValueError(
            "The model must have a layer with running statistics of "
            "keras_norms, whose `inference_weight` can be set. Received: "
            f"{model.name!r} with none. Change its layers for those of "
            "keras_norms, with `keras.models.clone_model` and its "
            "`clone_function`."
        )
    if theirs:
        warnings.warn(
            f"{len(theirs)} of the {len(ours) + len(theirs)} batch norms of "
            f"{model.name!r} are of keras.layers, which have no "
            "`inference_weight` and are left as they are. Change them for "
            "those of keras_norms, with `keras.models.clone_model` and its "
            "`clone_function`, which clones nested models by itself.",
            stacklevel=3,
        )
    return ours
