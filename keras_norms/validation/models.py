"""Checks of models."""

import keras


def built_model(model):
    """Checks a model whose layers have their weights."""
    if not isinstance(model, keras.Model) or not model.built:
        received = getattr(model, "name", model)
        raise ValueError(
            "`model` must be a model of Keras that is built. Received: "
            f"{received!r}. Add an `Input`, or call the model once."
        )
    return model
