"""Batch statistics in training, running statistics at inference."""

import keras
from keras import ops

from keras_norms import validation
from keras_norms.engine.normalize import normalize
from keras_norms.engine.params import Params
from keras_norms.layers import running_statistics
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.layers.batch_algebra import BatchAlgebra
from keras_norms.statistics.affine import affine


class BaseBatchNormalization(
    BaseNormalization, keras.layers.BatchNormalization
):
    """Base of the layers with running statistics.

    In training, moments are pooled over `examples_per_block` consecutive
    examples (`None` means the whole batch), over replicas if `synchronized`,
    and over groups of channels by `channel_groups`. The running statistics
    are updated with the moments of the whole batch, averaged over replicas. A
    batch that is empty, fully masked or not finite does not change them.

    At inference, the running statistics replace those of the batch. If
    `inference_weight` is above 0, they are blended with those of each
    example.

    A subclass overrides hooks, above all `algebra`. It sets `per_example` if
    a hook reads the moments of each example.

    Args:
        momentum: momentum of the moving averages:
            `running = momentum * running + (1 - momentum) * batch`.
        moving_mean_initializer, moving_variance_initializer: initializers of
            the running statistics.
        synchronized: whether statistics cover the examples of all replicas.
        inference_weight: the weight of an example's own moments at inference,
            from 0 to 1 (alpha of inference example weighing).
        **kwargs: see `BaseNormalization`.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> class Centered(keras_norms.layers.BaseBatchNormalization):
    ...     def algebra(self, moments, instance, params):
    ...         mean, scale = moments.mean, params.gamma
    ...         return keras_norms.ops.Coefficients(mean, scale, params.beta)
    >>> layer = Centered(momentum=0.0)
    >>> print(np.array(layer(np.array([[1.0], [3.0]]), training=True)).ravel())
    [-1.  1.]
    >>> print(np.array(layer(np.array([[7.0]]))))
    [[5.]]

    Reference: Ioffe and Szegedy, Batch Normalization, ICML 2015
    (arXiv 1502.03167), algorithms 1 and 2.
    """

    examples_per_block = None
    per_example = False
    replicas_per_group = None
    replicas_differ = inferred_in_replicas = False

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        synchronized=False,
        inference_weight=0.0,
        **kwargs,
    ):
        super().__init__(
            axis=axis,
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            **kwargs,
        )
        self.momentum = validation.fraction("momentum", momentum)
        self.moving_mean_initializer = keras.initializers.get(
            moving_mean_initializer
        )
        self.moving_variance_initializer = keras.initializers.get(
            moving_variance_initializer
        )
        validation.boolean("synchronized", synchronized)
        if synchronized and keras.backend.backend() != "tensorflow":
            raise ValueError(
                "`synchronized=True` merges statistics over the replicas of a "
                "`tf.distribute` strategy and needs the TensorFlow backend. "
                f"Received: backend {keras.backend.backend()}. Leave it False."
            )
        self.synchronized = synchronized
        self.inference_weight = validation.fraction(
            "inference_weight", inference_weight
        )
        self.moving_mean = self.moving_variance = None

    def build(self, input_shape):
        super().build(input_shape)
        shape = (input_shape[self.axis],)
        self.moving_mean = self.add_parameter(
            "moving_mean", shape, self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_parameter(
            "moving_variance",
            shape,
            self.moving_variance_initializer,
            trainable=False,
        )

    @property
    def parameters(self):
        return {
            **super().parameters,
            "moving_mean": self.moving_mean,
            "moving_variance": self.moving_variance,
        }

    def call(self, inputs, training=None, mask=None):
        training = self.trainable and validation.training(training)
        trains, infers = training is not False, training is not True
        params = dict(self.parameters)
        if trains:
            params.update(self.extra_inputs(inputs, mask))
        saved = running_statistics.read_for_inference(self, trains, infers)
        if trains and infers:
            params["training"] = training
            params.update({f"inference_{n}": v for n, v in saved.items()})
        else:
            params.update(saved)
        by_example = self.per_example or (infers and self.weighs_examples)
        block = self.examples_per_block if trains else None
        spec = self.norm_spec(
            BatchAlgebra(self, training, tuple(saved)),
            examples_per_row=1 if by_example else block,
            needs_moments=trains or by_example,
        )
        y, updates = normalize(spec, inputs, Params(params), mask)
        for name, value in updates.items():
            variable = getattr(self, name)
            variable.assign(ops.cast(value, variable.dtype))
        return y

    @property
    def weighs_examples(self):
        """Whether inference blends each example's own moments in."""
        number = isinstance(self.inference_weight, float)
        return not number or self.inference_weight > 0

    # The hooks, in the order in which the algebra calls them.

    def extra_inputs(self, inputs, mask):
        """What training reads of the inputs besides moments, by name."""
        return {}

    def uses_batch(self, params):
        """Whether training normalizes with the statistics of the batch.

        Either `True`, or a boolean tensor. Where it is false, training
        normalizes with the running statistics, as inference does.
        """
        return True

    def training_moments(self, moments, params):
        """The moments of each row, as training pools them."""
        return moments

    def running_target(self, batch, rows, params):
        """The moments that the running statistics approach.

        `batch` are the moments of the whole batch, `rows` those of its
        blocks.
        """
        return batch

    def updated_state(self, mean, variance, params):
        """New values of non-trainable weights by name, after a valid batch."""
        momentum, average = self.momentum, running_statistics.moving_average
        return {
            "moving_mean": average(params.moving_mean, mean, momentum),
            "moving_variance": average(
                params.moving_variance, variance, momentum
            ),
        }

    def step_state(self, params):
        """New values of non-trainable weights by name, after any batch."""
        return {}

    def channel_groups(self, moments):
        """The moments pooled over groups of channels."""
        return moments

    def training_coefficients(self, moments, instance, params):
        """`algebra` in training."""
        return self.algebra(moments, instance, params)

    def example_statistics(self, instance, params):
        """Each example's moments, as blended with the running statistics."""
        return self.channel_groups(instance)

    def algebra(self, moments, instance, params):
        """The coefficients.

        `moments` are those that normalize: the batch's or the running ones.
        `instance` are those of each example, where `per_example` is set.
        """
        return affine(moments, params.gamma, params.beta, self.epsilon)

    def get_config(self):
        initializers = keras.initializers
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(
                self.moving_mean_initializer
            ),
            "moving_variance_initializer": initializers.serialize(
                self.moving_variance_initializer
            ),
            "synchronized": self.synchronized,
            "inference_weight": self.inference_weight,
        }
