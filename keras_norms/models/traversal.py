"""The layers of a model, those inside others too."""


def layers_within(model):
    """All layers, each once, wrapped ones and those of nested models too."""
    # Keras has no public way to see inside wrappers.
    seen = {id(layer): layer for layer in model._flatten_layers()}
    return list(seen.values())
