"""Lists the normalization layers of a model."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras

from keras_norms import validation
from keras_norms.models.traversal import NORMALIZATIONS
from keras_norms.models.traversal import layers_by_path


class NormalizationDescription(NamedTuple):
    """A normalization layer of a model.

    See `describe_normalization`.
    """

    path: str
    layer: str
    channels: int
    statistics: str
    momentum: float | None
    epsilon: float | None
    weights: int
    frozen: str


def describe_normalization(
    model: keras.Model, print_fn: Callable[[str], Any] | None = None
) -> list[NormalizationDescription]:
    """Prints a table of the normalization layers of a model.

    Args:
        model: Built model. Layers of nested models and of wrappers are
            included, and those of `keras.layers`.
        print_fn: Function that prints a line, or `None` for `print`. Defaults
            to `None`.

    Returns:
        List with a `NormalizationDescription` for each row: `path`, `layer`,
        `channels`, `statistics` (what the mean and the variance are taken over
        in training), `momentum`, `epsilon`, `weights` and `frozen` (`"no"`,
        `"statistics"`, `"affine"` or `"all"`).

    Raises:
        ValueError: If `model` is not a built model.

    Example:

    >>> import keras
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 6)),
    ...     keras_norms.layers.GhostBatchNormalization(16, name="ghosts"),
    ...     keras_norms.layers.GroupNormalization(2, name="groups"),
    ... ])
    >>> rows = keras_norms.models.describe_normalization(model, len)
    >>> for row in rows:
    ...     print(row.path, row.statistics)
    ghosts ghost batches of 16
    groups each example, 2 groups
    """
    validation.built_model(model)
    rows = [
        _described(path, layer)
        for path, layer in layers_by_path(model)
        if isinstance(layer, NORMALIZATIONS)
    ]
    for line in _table(rows):
        (print_fn or print)(line)
    return rows


def _described(path: str, layer: Any) -> NormalizationDescription:
    package = type(layer).__module__.partition(".")[0]
    axes = (
        layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    )
    built = layer.get_build_config()
    shape = built.get("input_shape") or built["shapes_dict"]["inputs_shape"]
    channels = 1
    for axis in axes:
        channels *= shape[axis]
    return NormalizationDescription(
        path,
        f"{package}.{type(layer).__name__}",
        channels,
        _statistics(layer),
        getattr(layer, "momentum", None),
        getattr(layer, "epsilon", None),
        layer.count_params(),
        _frozen(layer),
    )


def _statistics(layer: Any) -> str:
    if isinstance(layer, keras.layers.LayerNormalization):
        return f"axis {layer.axis} of each example"
    if not isinstance(layer, keras.layers.BatchNormalization):
        groups = getattr(layer, "groups", None)
        if groups is None or groups == -1:
            return "each example"
        return f"each example, {groups} groups"
    size = getattr(layer, "examples_per_block", None)
    text = "the batch" if size is None else f"ghost batches of {size}"
    if getattr(layer, "synchronized", False):
        text = "the batch of all replicas"
        if getattr(layer, "replicas_per_group", None):
            text = f"the batch of {layer.replicas_per_group} replicas"
    for name in ("groups", "domains"):
        if hasattr(layer, name):
            text += f", {getattr(layer, name)} {name}"
    return text


def _frozen(layer: Any) -> str:
    if not layer.trainable:
        return "all"
    if getattr(layer, "frozen_statistics", False):
        return "statistics"
    weights = layer._trainable_variables
    frozen = weights and not any(weight.trainable for weight in weights)
    return "affine" if frozen else "no"


def _table(rows: list[NormalizationDescription]) -> list[str]:
    cells = [NormalizationDescription._fields, *rows]
    texts = [["-" if c is None else str(c) for c in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            t.ljust(w) for t, w in zip(row, widths, strict=True)
        ).rstrip()
        for row in texts
    ]
