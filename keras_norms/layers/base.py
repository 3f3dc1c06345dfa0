"""The two passes as a layer: what every method shares."""

import contextlib

import keras

from keras_norms import arguments
from keras_norms.ops import PooledAffine
from keras_norms.ops import normalize
from keras_norms.ops import replicas


class BaseNormalization(keras.layers.Layer):
    """Base of all layers: `activation(gamma (x - m) / sqrt(v + eps) + beta)`.

    A method overrides `coefficients`, the algebra from instance moments to
    the tables of center, scale and shift. As it stands, this is instance
    normalization.

    Arguments:
        axis: the channel axis; -1 is channels last, 1 channels first.
        epsilon: added to the variance, in the units of x squared.
        center: whether there is a `beta`, one number a channel.
        scale: whether there is a `gamma`, one number a channel.
        beta_initializer, gamma_initializer: their first values.
        beta_regularizer, gamma_regularizer: penalties on them, or None.
        beta_constraint, gamma_constraint: projections of them, or None.
        activation: applied to the result within the same pass and recomputed,
            not stored, for the gradient; None is none. The name of an
            activation of Keras, a function of one tensor that is registered
            for saving, or an instance of a layer without weights.
        **kwargs: of `keras.layers.Layer`, such as `name` and `dtype`.
    """

    def __init__(
        self,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        activation=None,
        **kwargs,
    ):
        self._beyond_keras().__init__(**kwargs)
        # A float32 input beyond the range of float16 must reach the
        # statistics as it is; they choose their own dtype.
        self.autocast = False
        self.supports_masking = True
        self.axis = arguments.axis(axis)
        self.epsilon = arguments.not_negative("epsilon", epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)
        self.beta_constraint = keras.constraints.get(beta_constraint)
        self.gamma_constraint = keras.constraints.get(gamma_constraint)
        self.activation = arguments.activation("activation", activation)
        self.gamma = None
        self.beta = None

    def _beyond_keras(self):
        """`super()`, but past the class of Keras that a subclass has.

        It is inherited from for `isinstance` alone. Classes behind it, such as
        a user's mixin, are asked as usual.
        """
        for kind in (
            keras.layers.BatchNormalization,
            keras.layers.GroupNormalization,
        ):
            if isinstance(self, kind):
                return super(kind, self)
        return super()

    def build(self, input_shape):
        channels = arguments.channels(self.axis, input_shape)
        self.input_spec = keras.InputSpec(
            ndim=len(input_shape), axes={self.axis: channels}
        )
        if self.scale:
            self.gamma = self.add_table(
                "gamma",
                (channels,),
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_table(
                "beta",
                (channels,),
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def add_table(self, name, shape, initializer, trainable=True, **kwargs):
        """A weight of the algebra: never held or read in 16 bits.

        One that is not trainable, a running statistic, is read and saved as
        the mean of the replicas of a strategy, unless it is synchronized and
        so the same on all of them.
        """
        size = keras.backend.standardize_dtype(self.variable_dtype)
        alike = trainable or getattr(self, "synchronized", False)
        averaging = replicas.averaging_when_read()
        with contextlib.nullcontext() if alike else averaging:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                dtype="float64" if size == "float64" else "float32",
                autocast=False,
                trainable=trainable,
                **kwargs,
            )

    @property
    def parameters(self):
        """The weights that `coefficients` takes, by the names it takes."""
        return {"gamma": self.gamma, "beta": self.beta}

    @property
    def coefficients(self):
        """The algebra: from the moments of examples, and the `parameters`.

        A method overrides it with a function, `coefficients(self, moments,
        gamma=None, beta=None)`.
        """
        return PooledAffine(groups=-1, epsilon=self.epsilon)

    def call(self, inputs, mask=None):
        arguments.named_parameters(self.coefficients, 1, self.parameters)
        return self.normalize(inputs, self.coefficients, mask)[0]

    def normalize(
        self, inputs, coefficients, mask=None, parameters=None, **kwargs
    ):
        """`keras_norms.ops.normalize` with this layer's settings."""
        linear = self.activation is keras.activations.linear
        return normalize(
            inputs,
            coefficients,
            parameters or self.parameters,
            mask=mask,
            axis=self.axis,
            activation=None if linear else self.activation,
            dtype=self.compute_dtype,
            **kwargs,
        )

    def compute_output_shape(self, input_shape):
        arguments.channels(self.axis, input_shape)
        return tuple(input_shape)

    def get_config(self):
        initializers = keras.initializers
        regularizers = keras.regularizers
        constraints = keras.constraints
        return {
            **self._beyond_keras().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(
                self.gamma_initializer
            ),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(
                self.gamma_regularizer
            ),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
            "activation": keras.activations.serialize(self.activation),
        }
