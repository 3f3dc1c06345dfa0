"""Freezes the normalization layers of a model."""

from typing import Any
from typing import NamedTuple

import keras

from keras_norms import validation
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.models.traversal import NORMALIZATIONS
from keras_norms.models.traversal import forget_traces
from keras_norms.models.traversal import layers_within


def freeze_normalization(
    model: keras.layers.Layer, statistics: bool = True, affine: bool = True
) -> list[keras.layers.Layer]:
    """Stops the training of normalization layers, for fine-tuning.

    With frozen statistics, training normalizes with the running statistics,
    and does not change them. With a frozen affine transformation, the weights
    of the layers do not change. Both hold in `fit`, in custom training loops
    and on replicas, until `unfreeze_normalization`. Layers without running
    statistics have an affine transformation only.

    If both are frozen, `layer.trainable` is `False`. If only statistics are,
    `layer.frozen_statistics` is `True`, which the batch normalizations of
    Keras do not have. Both are saved with the model. If only the affine
    transformation of a batch normalization is frozen, its variables are not
    trainable, which Keras does not save. As after every change of `trainable`,
    compile the model again, or create the gradients of a custom loop for
    `model.trainable_variables` again.

    Args:
        model: Built model or layer. Nested models and layers of Keras are
            included.
        statistics: Boolean, whether running statistics are frozen. Defaults
            to `True`.
        affine: Boolean, whether gamma, beta and other weights are frozen.
            Defaults to `True`.

    Returns:
        List of the layers that were changed.

    Raises:
        ValueError: If both arguments are `False`, if the model is not built or
            has no such layer, or if only the statistics of a batch
            normalization of Keras shall be frozen. The model does not change
            then.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((1,)), keras_norms.layers.BatchNormalization()])
    >>> layers = keras_norms.models.freeze_normalization(model)
    >>> y = model(np.array([[1.0], [3.0]]), training=True)
    >>> print(layers[0].moving_mean.numpy(), len(model.trainable_variables))
    [0.] 0

    Reference:

    - He et al., Deep Residual Learning for Image Recognition, 2015,
      [arXiv 1512.03385](https://arxiv.org/abs/1512.03385), appendix A, for
      object detection.
    """
    return _set(model, statistics, affine, frozen=True)


def unfreeze_normalization(
    model: keras.layers.Layer, statistics: bool = True, affine: bool = True
) -> list[keras.layers.Layer]:
    """Undoes `freeze_normalization`.

    Args:
        model: Built model or layer.
        statistics: Boolean, whether running statistics follow the batches
            again. Defaults to `True`.
        affine: Boolean, whether gamma, beta and other weights are trained
            again. Defaults to `True`.

    Returns:
        List of the layers that were changed.

    Raises:
        ValueError: As `freeze_normalization`.

    Example:

    >>> import keras
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((1,)), keras_norms.layers.BatchNormalization()])
    >>> layers = keras_norms.models.freeze_normalization(model)
    >>> layers = keras_norms.models.unfreeze_normalization(model)
    >>> print(len(model.trainable_variables))
    2

    Reference:

    - He et al., Deep Residual Learning for Image Recognition, 2015,
      [arXiv 1512.03385](https://arxiv.org/abs/1512.03385), appendix A, for
      object detection.
    """
    return _set(model, statistics, affine, frozen=False)


def _set(
    model: Any, statistics: bool, affine: bool, frozen: bool
) -> list[keras.layers.Layer]:
    validation.boolean("statistics", statistics)
    validation.boolean("affine", affine)
    if not (statistics or affine):
        raise ValueError(
            "`statistics` or `affine` must be True. Received: both False. "
            "Choose what changes."
        )
    if not model.built:
        raise ValueError(
            "The model must be built, so that its weights can be frozen. "
            f"Received: {model.name!r}, which is not built. Call "
            "`model.build(shape)`, or add an `Input`."
        )
    states = []
    for layer in layers_within(model):
        if isinstance(layer, NORMALIZATIONS):
            state = _state(layer)
            change = _State(
                frozen if statistics else state.statistics,
                frozen if affine else state.affine,
            )
            _refuse_statistics_of_keras(layer, change)
            states.append((layer, change))
    if not states:
        raise ValueError(
            "The model must contain a normalization layer of keras_norms or "
            f"keras.layers. Received: {model.name!r}, which contains none. "
            "Pass the model that contains them."
        )
    for layer, state in states:
        _assign(layer, state)
    forget_traces(model)
    return [layer for layer, _ in states]


class _State(NamedTuple):
    """What is frozen."""

    statistics: bool
    affine: bool


def _has_statistics(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _weights(layer: Any) -> list[keras.Variable]:
    """The weights that are trainable if nothing is frozen."""
    inner = layers_within(layer)
    return [
        variable for each in inner for variable in each._trainable_variables
    ]


def _state(layer: Any) -> _State:
    if not layer.trainable:
        return _State(True, True)
    weights = _weights(layer)
    frozen = bool(weights) and not any(v.trainable for v in weights)
    return _State(getattr(layer, "frozen_statistics", False), frozen)


def _assign(layer: Any, state: _State) -> None:
    frozen = state.affine and (state.statistics or not _has_statistics(layer))
    # It sets the flags of the variables, too.
    layer.trainable = not frozen
    if isinstance(layer, BaseBatchNormalization):
        layer.frozen_statistics = state.statistics and not frozen
    if state.affine and not frozen:
        for variable in _weights(layer):
            variable.trainable = False


def _refuse_statistics_of_keras(layer: Any, state: _State) -> None:
    ours = isinstance(layer, BaseBatchNormalization)
    if _has_statistics(layer) and not ours and state == _State(True, False):
        raise ValueError(
            "Batch normalizations of Keras cannot train gamma and beta with "
            f"frozen statistics. Received: {layer.name!r}, statistics=True, "
            "affine=False. Convert the model first, with "
            "`keras_norms.models.convert_normalization(model, "
            "'keras_norms')`, or freeze both."
        )
