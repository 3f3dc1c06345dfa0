"""All layers of a model, including nested ones."""

import keras

from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.layers.enhanced_affine import EnhancedAffine

NORMALIZATIONS = (
    BaseNormalization,
    EnhancedAffine,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


def layers_within(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All layers, once each, including those of wrappers and nested models."""
    # Keras has no public way to see inside wrappers.
    seen = {id(layer): layer for layer in model._flatten_layers()}
    return list(seen.values())


def layers_by_path(
    model: keras.layers.Layer,
) -> list[tuple[str, keras.layers.Layer]]:
    """The layers within a model, each with its path.

    A path has the names of the layers that contain it, such as
    `backbone/block1/bn`. A shared layer has the path of its first place.
    """
    seen: dict[int, tuple[str, keras.layers.Layer]] = {}

    def visit(parent: keras.layers.Layer, prefix: str) -> None:
        for layer in parent._flatten_layers(
            include_self=False, recursive=False
        ):
            if id(layer) not in seen:
                seen[id(layer)] = prefix + layer.name, layer
                visit(layer, f"{prefix}{layer.name}/")

    visit(model, "")
    return list(seen.values())


def forget_traces(model: keras.layers.Layer) -> None:
    """Makes `fit`, `evaluate` and `predict` trace the model again."""
    for layer in layers_within(model):
        if isinstance(layer, keras.Model):
            layer.train_function = None
            layer.test_function = layer.predict_function = None
