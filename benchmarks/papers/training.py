"""Trains one configuration over seeds, in one process."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import math

import keras
import numpy as np
import tensorflow as tf

import keras_norms
from benchmarks.papers import experiments
from tutorials import data
from tutorials.network import convolution

WIDTH = 16
EPSILON = 1e-3  # for all layers, as in the recorded results
MOMENTUM = 0.9  # the default is for longer runs
WEIGHTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def network(shape, classes, normalization, residual):
    """A stem, then blocks of two convolutions down to maps of 2 by 2."""
    inputs = keras.Input(shape)
    # Large images are halved at once, to save time.
    x = convolution(inputs, WIDTH, strides=1 if shape[0] <= 16 else 2)
    x = normalization(activation="relu")(x)
    for _ in range(int(math.log2(x.shape[1] / 2))):
        y = normalization(activation="relu")(convolution(x, WIDTH, strides=2))
        y = normalization()(convolution(y, WIDTH))
        if residual:
            x = keras.layers.AveragePooling2D(2, padding="same")(x)
            y = keras.layers.Add()([x, y])
        x = keras.layers.ReLU()(y)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x))


@functools.cache
def arrays(dataset, data_dir, examples):
    """Training and test images and labels, and the number of classes."""
    train, test, _, classes = data.load(dataset, data_dir, examples)
    sets = (train.batch(10_000), test.unbatch().batch(10_000))
    return *(next(iter(each)) for each in sets), classes


class Series(keras.callbacks.Callback):
    """The mean similarity over layers at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_epoch_end(self, epoch, logs=None):
        found = [
            float(layer.similarity.numpy())
            for layer in self.model.layers
            if hasattr(layer, "similarity")
        ]
        self.values.append(np.mean(found) if found else math.nan)


def prepare(config, shape, classes, steps):
    """A compiled model."""
    layer = getattr(keras_norms.layers, config.layer)
    more = {"epsilon": EPSILON}
    if config.layer[:5] != "Group":
        more["momentum"] = MOMENTUM

    def normalization(**kwargs):
        return layer(**config.arguments, **more, **kwargs)

    model = network(shape, classes, normalization, config.residual)
    rate = config.rate * experiments.RATE * config.batch / experiments.BATCH
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 4, steps, warmup_target=rate, warmup_steps=max(1, steps // 10)
    )
    optimizer = keras.optimizers.SGD(
        schedule, momentum=0.9, weight_decay=config.weight_decay or None
    )
    if config.weight_decay:
        keras_norms.models.exclude_from_weight_decay(
            optimizer, model, config.family
        )
    return model, optimizer


def run(config, dataset, seeds, data_dir=None, examples=None, epochs=None):
    """Yields rows of results. One model, traced once, serves all seeds."""
    keras.backend.clear_session()
    epochs = epochs or experiments.EPOCHS
    (x, y), (test_x, test_y), classes = arrays(dataset, data_dir, examples)
    batch = min(config.batch, len(y))
    per_epoch = len(y) // batch
    model, first_weights = None, []
    # The weights of all seeds come first, because after a new seed TensorFlow
    # compiles all functions again.
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model, optimizer = prepare(
            config, x.shape[1:], classes, epochs * per_epoch
        )
        first_weights.append(model.get_weights())
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=per_epoch,
        jit_compile=False,
    )
    # Sizes, weights and thresholds are selected on one half of the test set
    # and evaluated on the other.
    half = len(test_y) // 2
    sets = {
        "validation": [(test_x[:half], test_y[:half])],
        "test": [(test_x[half:], test_y[half:])],
        "train": [(x, y)],
    }
    test = tf.data.Dataset.from_tensor_slices((test_x, test_y)).batch(500)
    test = test.cache()
    by_epoch = config.experiment == "unified"
    for seed, weights in zip(seeds, first_weights, strict=True):
        model.set_weights(weights)
        for variable in optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        series = Series()
        images = tf.data.Dataset.from_tensor_slices((x, y))
        images = images.shuffle(len(y), seed=seed).repeat().batch(batch)
        history = model.fit(
            images,
            epochs=epochs,
            steps_per_epoch=per_epoch,
            validation_data=test if by_epoch else None,
            callbacks=[series] if by_epoch else [],
            verbose=0,
        ).history
        measured = evaluate(model, sets)
        if by_epoch:
            errors = [100 * (1 - a) for a in history["val_accuracy"]]
            measured["errors"] = " ".join(f"{e:.2f}" for e in errors)
            measured["similarities"] = " ".join(
                f"{s:.4f}" for s in series.values
            )
        yield row(config.keys(dataset), seed, **measured)
        if config.weighs:
            method = f"ghost batches of {config.condition}"
            for weight, measured in evaluate_weights(model, sets).items():
                keys = (dataset, "weighing", method, str(weight))
                yield row(keys, seed, **measured)


def row(keys, seed, **measured):
    numbers = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in measured.items()
    }
    names = ("dataset", "experiment", "method", "condition")
    return {**dict(zip(names, keys, strict=True)), "seed": seed, **numbers}


def evaluate(model, sets):
    """Errors in percent, and losses, of a trained model."""
    measured = {}
    for name, ((x, y),) in sets.items():
        loss, accuracy = model.evaluate(x, y, batch_size=500, verbose=0)
        measured[f"{name}_error"] = 100 * (1 - accuracy)
        measured[f"{name}_loss"] = loss
    return measured


def evaluate_weights(model, sets):
    """Errors and losses for each weight of inference example weighing."""
    measured = {weight: {} for weight in WEIGHTS}
    for name, batches in sets.items():
        for measure, metric in (("error", "accuracy"), ("loss", model.loss)):
            curve = keras_norms.models.tune_inference_weight(
                model, batches, metric, WEIGHTS, verbose=0
            )
            for weight, value in curve.items():
                if measure == "error":
                    value = 100 * (1 - value)
                measured[weight][f"{name}_{measure}"] = value
    for layer in model.layers:
        if hasattr(layer, "inference_weight"):
            layer.inference_weight = 0.0
    return measured
