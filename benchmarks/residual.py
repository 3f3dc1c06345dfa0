"""What the residual sums of a model cost: `python -m benchmarks.residual`.

A residual block adds a tensor to a normalized one, and may apply ReLU. If the
second pass did that too, it would read one tensor more, and the sum and the
activation would read and write nothing. GradientCombine moves as many bytes as
such a pass, and takes its place here. The csv has the difference in time at
all sums of a model, as shares of its training step and of inference in the
same run. Gradients read and write the same bytes either way.
"""

import argparse
import collections
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import timing
from benchmarks.applications import OURS
from benchmarks.applications import creating
from benchmarks.applications import replaced
from keras_norms.native.loader import load

MODELS = ("ResNet50", "MobileNetV2")
# Tensors in rotation, so that caches do not hold them.
SETS = 8


def sums(model, examples):
    """{(shape, whether ReLU follows): number} of the sums of norms."""
    found = collections.Counter()
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Add):
            continue
        after = layer._outbound_nodes[0].operation
        shape = (examples, *layer.output.shape[1:])
        found[shape, isinstance(after, keras.layers.Activation)] += 1
    return found


def passes(shape, relu):
    """The pass, the sum and the activation, and one pass in their place."""
    channels = shape[-1]
    zeros, ones = tf.zeros([1, channels]), tf.ones([1, channels])
    no_mask = tf.zeros([0], "bool")
    options = {"axis": len(shape) - 1, "examples": -1}
    options["activation"] = "identity"
    coefficients = (zeros, ones, zeros)

    @tf.function
    def separate(x, other):
        y = load().keras_norms_apply(x, no_mask, *coefficients, **options)
        return tf.nn.relu(y + other) if relu else y + other

    @tf.function
    def fused(x, other):
        return load().keras_norms_gradient_combine(
            x, other, no_mask, *coefficients, ones, zeros, **options
        )

    tensors = [tf.random.normal(shape) for _ in range(2 * SETS)]
    turns = {"separate": 0, "fused": 0}

    def call(name, function):
        turns[name] = (turns[name] + 2) % len(tensors)
        function(*tensors[turns[name] :][:2])

    return {
        "separate": lambda: call("separate", separate),
        "fused": lambda: call("fused", fused),
    }


def measured(name, options):
    """The row of a model."""
    model = replaced(
        getattr(keras.applications, name)(
            weights=None, input_shape=(options.size, options.size, 3)
        ),
        creating(OURS, "batch"),
        inside=True,
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    shape = (options.examples, options.size, options.size, 3)
    x = tf.constant(np.random.default_rng(0).uniform(0, 255, shape), "float32")
    labels = tf.zeros([options.examples], "int64")
    infer = tf.function(model)
    works = {
        "training": lambda: model.train_on_batch(x, labels),
        "inference": lambda: infer(x, training=False).numpy(),
    }
    of_model = timing.medians(works, options.rounds)
    saved = 0.0
    for (shape, relu), number in sums(model, options.examples).items():
        took = timing.medians(passes(shape, relu), 5 * options.rounds)
        saved += number * (took["separate"] - took["fused"])
    return {
        "application": name,
        "examples": options.examples,
        "size": options.size,
        **{
            f"saved_of_{work}": round(saved / seconds, 4)
            for work, seconds in of_model.items()
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--examples", type=int, default=16)
    timing.add_arguments(parser, "residual.csv", rounds=9)
    options = parser.parse_args()
    timing.keep_memory()
    rows = []
    for name in MODELS:
        rows.append({**measured(name, options), **timing.layer_environment()})
        print(rows[-1], flush=True)
        timing.write(options.csv, rows)


if __name__ == "__main__":
    main()
