"""Trains one configuration with any rate and seed, traced once."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import math

import keras
import numpy as np
import tensorflow as tf

import keras_norms
from benchmarks.papers import configurations
from tutorials.network import convolution

WIDTH = 16
EPSILON = 1e-3  # for all layers
MOMENTUM = 0.9  # of running statistics, per 32 images
WARMUP = 0.2  # the share of steps in which the rate increases
EARLY = 1 / 3  # the share of steps before the early evaluation
EVALUATED = 500  # images per step of inference


def network(shape, classes, normalization, residual):
    """A stem, then blocks of two convolutions down to maps of 2 by 2."""
    inputs = keras.Input(shape)
    # Large images are halved at once, to save time.
    x = convolution(inputs, WIDTH, strides=1 if shape[0] <= 16 else 2)
    x = normalization(activation="relu")(x)
    for _ in range(math.ceil(math.log2(x.shape[1] / 2))):
        y = normalization(activation="relu")(convolution(x, WIDTH, strides=2))
        y = normalization()(convolution(y, WIDTH))
        if residual:
            x = keras.layers.AveragePooling2D(2, padding="same")(x)
            y = keras.layers.Add()([x, y])
        x = keras.layers.ReLU()(y)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x))


def model_of(configuration, shape, classes):
    """The model of a configuration."""
    layer = getattr(keras_norms.layers, configuration.layer)
    arguments = {**configuration.arguments, "epsilon": EPSILON}
    if configuration.layer != "GroupNormalization":
        # With smaller batches, the averages are those of as many images.
        share = min(1.0, configuration.batch / configurations.BATCH)
        arguments["momentum"] = MOMENTUM**share

    def normalization(**kwargs):
        return layer(**arguments, **kwargs)

    return network(shape, classes, normalization, configuration.residual)


def draw_weights(model, seed):
    """Draws the kernels, the same for all normalizations with one seed.

    The distributions are those of `he_normal`, and of `glorot_uniform` for the
    kernel that `DynamicNormalization` draws.
    """
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            shape = layer.kernel.shape
            deviation = math.sqrt(2 / np.prod(shape[:-1]))
            layer.kernel.assign(random.normal(0, deviation, shape))
    for layer in model.layers:
        if hasattr(layer, "hidden_kernel"):
            shape = layer.hidden_kernel.shape
            limit = math.sqrt(6 / sum(shape))
            layer.hidden_kernel.assign(random.uniform(-limit, limit, shape))


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """From 0 to a peak, which can be assigned, and along a cosine to 0."""

    def __init__(self, steps):
        self.peak = tf.Variable(0.0)
        self.steps = steps
        self.warmup = max(1, round(WARMUP * steps))

    def share(self, step):
        """The share of the peak."""
        step = tf.cast(step, tf.float32)
        decayed = (step - self.warmup) / (self.steps - self.warmup)
        cosine = (1 + tf.cos(math.pi * tf.minimum(decayed, 1.0))) / 2
        rising = (step + 1) / self.warmup
        return tf.where(step < self.warmup, rising, cosine)

    def __call__(self, step):
        return self.peak * self.share(step)


class Trainer:
    """A model of a configuration, which is trained again and again.

    Args:
        configuration: a `Configuration`.
        arrays: the images and labels of each split.
        classes: the number of classes.
        steps: the number of steps of a configuration of length 1.
    """

    def __init__(self, configuration, arrays, classes, steps):
        keras.backend.clear_session()
        self.configuration = configuration
        self.arrays = arrays
        self.steps = steps * configuration.length
        images, labels = arrays["train"]
        self.batch = min(configuration.batch, len(labels))
        self.images = tf.constant(images)
        self.labels = tf.constant(labels)
        self.model = model_of(configuration, images.shape[1:], classes)
        self.first_weights = self.model.get_weights()
        self.early_wrong = None
        self.schedule = WarmupCosine(self.steps)
        self.optimizer = self._optimizer()
        self.weighted_layers = [
            layer
            for layer in self.model.layers
            if configuration.weighs and hasattr(layer, "inference_weight")
        ]

    def _optimizer(self):
        dose = self.configuration.dose
        optimizer = keras.optimizers.SGD(
            self.schedule, momentum=0.9, weight_decay=dose or None
        )
        optimizer.build(self.model.trainable_variables)
        if dose:
            keras_norms.models.exclude_from_weight_decay(
                optimizer,
                self.model,
                "residual" if self.configuration.decays_affine else "plain",
            )
            # Keras multiplies the decay by the rate.
            optimizer.weight_decay = tf.Variable(0.0)
        return optimizer

    def train(self, rate, seed):
        """Trains from new weights."""
        self.model.set_weights(self.first_weights)
        draw_weights(self.model, seed)
        for variable in self.optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        self.schedule.peak.assign(rate)
        if self.configuration.dose:
            shares = self.schedule.share(tf.range(self.steps))
            total = rate * float(tf.reduce_sum(shares))
            decay = self.configuration.dose / total
            self.optimizer.weight_decay.assign(decay)
        order = self._order(seed)
        if self.configuration.early:
            first = round(EARLY * self.steps)
            self._train(tf.constant(order[:first]))
            self.early_wrong, _ = self.evaluate("test")
            order = order[first:]
        self._train(tf.constant(order))

    def _order(self, seed):
        """The images of each step, shuffled in every epoch."""
        random = np.random.default_rng(seed)
        count, drawn = len(self.labels), self.steps * self.batch
        epochs = math.ceil(drawn / count)
        order = [random.permutation(count) for _ in range(epochs)]
        order = np.concatenate(order)[:drawn]
        return order.reshape(self.steps, self.batch).astype(np.int32)

    # One call trains for all steps, because a call per step takes longer than
    # a step.
    @functools.cached_property
    def _train(self):
        variables = self.model.trainable_variables

        def train(order):
            for step in tf.range(tf.shape(order)[0]):
                images = tf.gather(self.images, order[step])
                labels = tf.gather(self.labels, order[step])
                with tf.GradientTape() as tape:
                    logits = self.model(images, training=True)
                    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                        labels, logits
                    )
                    loss = tf.reduce_mean(losses)
                self.optimizer.apply(tape.gradient(loss, variables))

        signature = [tf.TensorSpec([None, self.batch], tf.int32)]
        return tf.function(train, input_signature=signature)

    def evaluate(self, split, weight=0.0):
        """Whether each image is wrong, and its cross-entropy.

        Args:
            split: the name of the split.
            weight: the share of an example's own statistics.
        """
        images, labels = self.arrays[split]
        parts = [
            self._logits(images[start : start + EVALUATED], weight)
            for start in range(0, len(labels), EVALUATED)
        ]
        logits = np.concatenate(parts)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return np.argmax(logits, axis=1) != labels, losses.numpy()

    @functools.cached_property
    def _logits(self):
        shape = [None, *self.images.shape[1:]]
        signature = [tf.TensorSpec(shape), tf.TensorSpec([])]

        def logits(images, weight):
            # The weight is a tensor, so that one trace serves all weights.
            for layer in self.weighted_layers:
                layer.inference_weight = weight
            outputs = self.model(images, training=False)
            for layer in self.weighted_layers:
                layer.inference_weight = 0.0
            return outputs

        function = tf.function(logits, input_signature=signature)
        return lambda images, weight: function(images, weight).numpy()
