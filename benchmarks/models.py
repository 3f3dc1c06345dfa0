"""Whole models before and after conversion and folding.

`python -m benchmarks.models` times inference of four applications of Keras
with random weights, in graph mode and in one run: the model, the same model
with layers of keras_norms, and the folded model. The csv has medians, ratios
to the first one, the number of batch normalizations, that of the operations
that ONNX Runtime has left, the largest difference of an output, and versions.
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import timing
from benchmarks.exports import formats
from keras_norms import models

APPLICATIONS = ("ResNet50", "MobileNetV2", "EfficientNetV2B0", "DenseNet121")
BASELINE = "model"


def application(name, size):
    """An application whose running statistics are random."""
    keras.utils.set_random_seed(0)
    create = getattr(keras.applications, name)
    model = create(weights=None, input_shape=(size, size, 3), classes=10)
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "moving_mean":
            weight.assign(random.normal(0.0, 0.1, weight.shape))
        if weight.name == "moving_variance":
            weight.assign(random.uniform(0.5, 2.0, weight.shape))
    return model


def batch_norms(model):
    return sum(
        isinstance(layer, keras.layers.BatchNormalization)
        for layer in model._flatten_layers()
    )


def onnx_operations(model):
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "model.onnx")
        model.export(path, format="onnx", verbose=False)
        return formats.onnx_session(path, pathlib.Path(folder))[1]


def measured(name, options):
    """The rows of an application."""
    model = application(name, options.size)
    variants = {
        BASELINE: model,
        "converted": models.convert_normalization(model, "keras_norms"),
        "folded": models.fold_batch_normalization(model),
    }
    random = np.random.default_rng(1)
    shape = (options.examples, options.size, options.size, 3)
    x = tf.constant(random.uniform(0, 255, shape), "float32")
    functions = {
        variant: tf.function(lambda x, each=each: each(x, training=False))
        for variant, each in variants.items()
    }
    wanted = functions[BASELINE](x).numpy()
    times = timing.medians(
        {
            variant: lambda f=function: f(x).numpy()
            for variant, function in functions.items()
        },
        options.rounds,
    )
    ratios = timing.ratios(times, BASELINE)
    return [
        {
            "application": name,
            "variant": variant,
            "examples": options.examples,
            "batch_norms": batch_norms(variants[variant]),
            "onnx_operations": onnx_operations(variants[variant]),
            "difference": float(np.abs(function(x) - wanted).max()),
            "ms": round(1e3 * times[variant], 1),
            "times_model": round(ratios[variant], 3),
        }
        for variant, function in functions.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--examples", type=int, default=8)
    timing.add_arguments(parser, "models.csv", rounds=15)
    options = parser.parse_args()
    timing.keep_memory()
    rows = []
    for name in APPLICATIONS:
        for row in measured(name, options):
            rows.append(row)
            print(
                f"{name:18} {row['variant']:10} {row['batch_norms']:4} "
                f"{row['onnx_operations']:5} "
                f"{row['times_model']:6} {row['difference']:.1e}"
            )
    environment = timing.layer_environment()
    timing.write(options.csv, [{**row, **environment} for row in rows])


if __name__ == "__main__":
    main()
