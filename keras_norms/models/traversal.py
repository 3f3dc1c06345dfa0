"""The layers of a model, those inside others too."""

import keras


def layers_within(model):
    """All layers, each once, wrapped ones and those of nested models too."""
    # Keras has no public way to see inside wrappers.
    seen = {id(layer): layer for layer in model._flatten_layers()}
    return list(seen.values())


def forget_traces(model):
    """Has `fit`, `evaluate` and `predict` trace the model anew."""
    for layer in layers_within(model):
        if isinstance(layer, keras.Model):
            layer.train_function = None
            layer.test_function = layer.predict_function = None
