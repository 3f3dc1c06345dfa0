"""Statistics of the batch in training, running ones at inference."""

import keras
from keras import ops

from keras_norms import arguments
from keras_norms.layers import running_statistics
from keras_norms.layers.base import BaseNormalization
from keras_norms.ops import Moments
from keras_norms.ops import affine
from keras_norms.ops import choose

# The methods that are passed parameters by name, after so many tensors.
HOOKS = {"algebra": 2, "trained": 2, "followed": 2, "weighed": 1, "moved": 2}


class BaseBatchNormalization(
    BaseNormalization, keras.layers.BatchNormalization
):
    """Base of the layers with running statistics.

    In training, moments are pooled over `block` consecutive examples (None:
    the batch), over replicas where `synchronized`, and by `channel_groups`.
    The running statistics move towards the moments of the whole batch,
    averaged over replicas. A batch that is empty, all masked or not finite
    does not move them.

    At inference the running moments take the place of the batch's, blended,
    where `inference_weight` is above 0, with those of each example.

    A method overrides `algebra`, the coefficients from either; `trained`
    where training's differ; and sets `per_example` where it reads the moments
    of each example by itself.

    Arguments:
        momentum: running <- momentum * running + (1 - momentum) * batch.
        moving_mean_initializer, moving_variance_initializer: first values.
        synchronized: whether statistics are those of all replicas' examples.
        inference_weight: the share of an example's own moments at inference,
            from 0 to 1 (alpha of inference example weighing).
        **kwargs: see `BaseNormalization`.
    """

    block = None
    per_example = False
    replicas_per_group = None
    names_in_training: tuple[str, ...] = ()
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
        self.momentum = arguments.fraction("momentum", momentum)
        self.moving_mean_initializer = keras.initializers.get(
            moving_mean_initializer
        )
        self.moving_variance_initializer = keras.initializers.get(
            moving_variance_initializer
        )
        arguments.boolean("synchronized", synchronized)
        if synchronized and keras.backend.backend() != "tensorflow":
            raise ValueError(
                "`synchronized=True` merges statistics over the replicas of a "
                "`tf.distribute` strategy and needs the TensorFlow backend. "
                f"Received: backend {keras.backend.backend()}. Leave it False."
            )
        self.synchronized = synchronized
        self.inference_weight = arguments.fraction(
            "inference_weight", inference_weight
        )
        self.moving_mean = self.moving_variance = None

    def build(self, input_shape):
        super().build(input_shape)
        shape = (input_shape[self.axis],)
        self.moving_mean = self.add_table(
            "moving_mean", shape, self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_table(
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

    def channel_groups(self, moments):
        """Moments pooled over channels, where a method does that."""
        return moments

    def algebra(self, moments, own, gamma=None, beta=None, **others):
        """Coefficients from the moments that normalize, and from each row's.

        `moments` are those of the batch, or the running ones; `own` those of
        each example where `per_example` is set.
        """
        return affine(moments, gamma, beta, self.epsilon)

    def trained(self, moments, own, **parameters):
        """`algebra` in training."""
        return self.algebra(moments, own, **parameters)

    def followed(self, batch, rows, **parameters):
        """What running averages follow: of the batch, or of `rows` of it."""
        return batch

    def weighed(self, own, **parameters):
        """Moments of each example, as blended with the running ones."""
        return self.channel_groups(own)

    def observed(self, inputs, mask):
        """What training reads of the inputs besides moments, by name."""
        return {}

    def call(self, inputs, training=None, mask=None):
        training = self.trainable and arguments.training(training)
        trains, infers = training is not False, training is not True
        observed = self.observed(inputs, mask) if trains else {}
        self._check_hooks(observed)
        saved = running_statistics.for_inference(self, trains, infers)
        by_example = self.per_example or (infers and self.weighs)

        def coefficients(moments, **parameters):
            if not trains:
                return self._inferred(moments, **parameters)
            if not infers:
                return self._trained(moments, training, **parameters)
            trained, moved = self._trained(
                moments.only_if(training), training, **parameters
            )
            inferred = self._inferred(
                moments.only_if(ops.logical_not(training)),
                **{**parameters, **saved},
            )
            return choose(training, trained, inferred), moved

        y, moved = self.normalize(
            inputs,
            coefficients,
            mask,
            {**self.parameters, **(observed if trains else saved)},
            examples=1 if by_example else self.block if trains else None,
            statistics=trains or by_example,
        )
        if trains:
            for name, value in moved.items():
                variable = getattr(self, name)
                variable.assign(ops.cast(value, variable.dtype))
        return y

    def _trained(self, moments, training, **parameters):
        """Coefficients, and where the running statistics move, by name."""
        used, moved = running_statistics.step(
            self, moments, training, parameters
        )
        used = self.channel_groups(used)
        return self.trained(used, self._own(moments), **parameters), moved

    @property
    def weighs(self):
        """Whether inference reads each example's own moments to blend them."""
        number = isinstance(self.inference_weight, float)
        return not number or self.inference_weight > 0

    def _inferred(self, moments, moving_mean, moving_variance, **parameters):
        used = self.channel_groups(
            Moments(1, moving_mean[None], moving_variance[None])
        )
        if self.weighs:
            own = self.weighed(moments, **parameters)
            used = own.blend(used, self.inference_weight)
        return self.algebra(used, self._own(moments), **parameters)

    def _check_hooks(self, observed):
        known = {*self.parameters, *self.names_in_training, *observed}
        for hook, positional in HOOKS.items():
            method = getattr(self, hook)
            arguments.named_parameters(method, positional, known)

    def _own(self, moments):
        """Rows may hold more than an example, where none is asked for."""
        return moments if self.per_example else arguments.Unread()

    def moved(self, mean, variance, moving_mean, moving_variance, **others):
        """The running averages after a batch of such moments, by name."""
        return {
            "moving_mean": running_statistics.move(
                moving_mean, mean, self.momentum
            ),
            "moving_variance": running_statistics.move(
                moving_variance, variance, self.momentum
            ),
        }

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
