"""All layers of a model, including nested ones."""

import keras


def layers_within(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All layers, once each, including those of wrappers and nested models."""
    # Keras has no public way to see inside wrappers.
    seen = {id(layer): layer for layer in model._flatten_layers()}
    return list(seen.values())


def forget_traces(model: keras.layers.Layer) -> None:
    """Makes `fit`, `evaluate` and `predict` trace the model again."""
    for layer in layers_within(model):
        if isinstance(layer, keras.Model):
            layer.train_function = None
            layer.test_function = layer.predict_function = None
