"""The time of whole models: `python -m benchmarks.applications`.

Times a training step and inference of applications of Keras, in graph mode:
with Keras's normalization layers, with those of keras_norms, with those that
also apply the activation which follows, with TensorFlow's fused batch norm,
and without normalization. The csv has the wall time and the processor time
(medians of interleaved rounds of one run), and versions.

The share of the normalization in the time of a model is 1 minus the ratio of
the model without normalization.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import timing
from keras_norms import layers

# The groups divide every number of channels in both applications.
GROUPS = 8
CASES = (("ResNet50", "batch"), ("MobileNetV2", "batch"))
CASES += (("MobileNetV2", "group"),)
ACTIVATIONS = (keras.layers.Activation, keras.layers.ReLU)


class NoNormalization(keras.layers.Layer):
    """Takes the arguments of a batch norm, and returns its input."""

    def call(self, inputs, training=None, mask=None):
        return inputs


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer with the fused kernel of TensorFlow."""

    def call(self, inputs, training=None, mask=None):
        moments = self.moving_mean.value, self.moving_variance.value
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            self.gamma,
            self.beta,
            *(() if training else moments),
            epsilon=self.epsilon,
            is_training=bool(training),
        )[:3]
        if training:
            for moving, new in zip(
                (self.moving_mean, self.moving_variance),
                (mean, variance),
                strict=True,
            ):
                moving.assign(
                    moving * self.momentum + new * (1.0 - self.momentum)
                )
        return y


class KerasGroupNormalization(keras.layers.GroupNormalization):
    """Keras's layer with the mask argument of its batch norm."""

    def call(self, inputs, mask=None):
        return super().call(inputs)


BASELINE, OURS, NONE = "keras", "keras_norms", "no normalization"
LAYERS = {
    (BASELINE, "batch"): keras.layers.BatchNormalization,
    (BASELINE, "group"): KerasGroupNormalization,
    (OURS, "batch"): layers.BatchNormalization,
    (OURS, "group"): layers.GroupNormalization,
    ("tensorflow fused", "batch"): FusedBatchNormalization,
}


def replaced(model, create, inside=False):
    """A copy of a model with other layers instead of batch norms.

    Args:
        model: the model.
        create: creates a layer from the batch norm and the arguments
            `activation` and `name`.
        inside: whether that layer applies the activation that follows.
    """

    def consumers(layer):
        return [node.operation for node in layer._outbound_nodes]

    def activation_after(layer):
        following = consumers(layer)
        if len(following) == 1 and isinstance(following[0], ACTIVATIONS):
            return following[0]
        return None

    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    moved = {activation_after(layer) for layer in norms} if inside else set()

    def clone(layer):
        if layer in norms:
            after = activation_after(layer) if inside else None
            return create(
                layer, activation=argument_of(after), name=layer.name
            )
        if layer in moved:
            return keras.layers.Identity(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=clone)


def argument_of(layer):
    """What an activation layer computes, as an argument of a norm."""
    if layer is None:
        return None
    if isinstance(layer, keras.layers.ReLU):
        return "relu6" if layer.max_value == 6 else "relu"
    return layer.activation


def creating(package, method):
    """Creates the layers of a package from the batch norms of a model."""
    if package == NONE:
        return lambda layer, activation, name: NoNormalization(name=name)

    def create(layer, activation, name):
        settings = {"groups": GROUPS}
        if method == "batch":
            settings = {"momentum": layer.momentum}
        if activation is not None:
            settings["activation"] = activation
        return LAYERS[package, method](
            epsilon=layer.epsilon, name=name, **settings
        )

    return create


def variants(name, method, size):
    """The models by the names of their normalization layers."""
    original = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10
    )
    packages = [package for package, of in LAYERS if of == method]
    models = {
        package: replaced(original, creating(package, method))
        for package in (*packages, NONE)
    }
    inside = replaced(original, creating(OURS, method), inside=True)
    return {**models, f"{OURS}, activation inside": inside}


class Clock:
    """Measures wall time, and keeps the processor time of each call."""

    def __init__(self):
        self.processor = []

    def measure(self, function, turn):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        self.processor.append(time.process_time() - processor)
        return time.perf_counter() - wall

    def seconds(self, mark):
        return mark

    def processor_medians(self, names, warmup=2):
        step, names = len(names), list(names)
        return {
            name: statistics.median(self.processor[i::step][warmup:])
            for i, name in enumerate(names)
        }


def measured(name, method, options):
    """Yields the rows of an application."""
    models = variants(name, method, options.size)
    random = np.random.default_rng(0)
    shape = (options.examples, options.size, options.size, 3)
    x = tf.constant(random.uniform(0, 255, shape), "float32")
    labels = tf.constant(random.integers(0, 10, options.examples))
    for model in models.values():
        model.compile("sgd", "sparse_categorical_crossentropy")
    steps = {
        variant: lambda each=model: each.train_on_batch(x, labels)
        for variant, model in models.items()
    }
    functions = {
        variant: tf.function(model) for variant, model in models.items()
    }
    inference = {
        variant: lambda f=function: f(x, training=False).numpy()
        for variant, function in functions.items()
    }
    for work, candidates in (("training", steps), ("inference", inference)):
        clock = Clock()
        wall = timing.medians(candidates, options.rounds, clock=clock)
        processor = clock.processor_medians(candidates)
        of_keras = timing.ratios(wall, BASELINE)
        of_keras_processor = timing.ratios(processor, BASELINE)
        for variant in candidates:
            yield {
                "application": name,
                "normalization": method,
                "work": work,
                "layers": variant,
                "examples": options.examples,
                "size": options.size,
                "wall_ms": round(1e3 * wall[variant], 1),
                "processor_ms": round(1e3 * processor[variant], 1),
                "wall_of_keras": round(of_keras[variant], 3),
                "processor_of_keras": round(of_keras_processor[variant], 3),
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--examples", type=int, default=16)
    timing.add_arguments(parser, "applications.csv", rounds=9)
    options = parser.parse_args()
    timing.keep_memory()
    rows, environment = [], timing.layer_environment()
    for case in CASES:
        for row in measured(*case, options):
            rows.append({**row, **environment})
            print(
                f"{row['application']:12} {row['normalization']:6} "
                f"{row['work']:10} {row['layers']:32} "
                f"{row['wall_of_keras']:6} {row['processor_of_keras']:6}",
                flush=True,
            )
        timing.write(options.csv, rows)


if __name__ == "__main__":
    main()
