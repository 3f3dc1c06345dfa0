"""A small model around each layer, of this package and of Keras."""

import keras
import numpy as np

from keras_norms import layers

SHAPE = (8, 8, 16)
FEATURES = 32
EXAMPLES = 16

ARGUMENTS = {
    "GroupNormalization": {"groups": 8},
    "BatchGroupNormalization": {"groups": 8},
    "GhostBatchNormalization": {"ghost_batch_size": 4},
    "DynamicNormalization": {"reduction": 4},
    "DomainSpecificBatchNormalization": {"domains": 2},
}
# Layers of Keras with the same name.
OF_KERAS = ("BatchNormalization", "GroupNormalization", "LayerNormalization")
SKIPPED = ("WeightStandardization",)


def names():
    """Package and class of each layer."""
    ours = [n for n in layers.__all__ if not n.startswith("Base")]
    return [
        *[("keras", name) for name in OF_KERAS],
        *[("keras_norms", name) for name in ours if name not in SKIPPED],
    ]


def model(package, name):
    """A convolution, the layer and a relu, with random weights."""
    keras.utils.set_random_seed(0)
    module = keras.layers if package == "keras" else layers
    layer = getattr(module, name)(**ARGUMENTS.get(name, {}))
    inputs = keras.Input(SHAPE, name="x")
    x = keras.layers.Conv2D(FEATURES, 3, padding="same")(inputs)
    outputs = keras.layers.ReLU()(layer(x, *_others(name, inputs)))
    result = keras.Model(inputs, outputs)
    random = np.random.default_rng(0)
    for weight in layer.weights:
        if "variance" in weight.name:
            value = random.uniform(0.5, 2.0, weight.shape)
        elif weight.name == "gamma":
            value = random.normal(1.0, 0.3, weight.shape)
        elif weight.name == "similarity":
            continue
        else:
            value = random.normal(0.0, 0.3, weight.shape)
        weight.assign(value)
    return result


def _others(name, inputs):
    """The other inputs of a layer, computed from those of the model."""
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    if name == "ConditionalNormalization":
        return [pooled]
    if name == "DomainSpecificBatchNormalization":
        return [keras.ops.cast(pooled[:, 0] > 0, "int32")]
    return []


def data():
    """Examples that calibrate quantization, and those that are compared."""
    random = np.random.default_rng(1)
    x = random.normal(size=(4 * EXAMPLES, *SHAPE)).astype("float32")
    return x, x[:EXAMPLES]
