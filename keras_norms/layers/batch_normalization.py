import keras
from keras import ops

from keras_norms import validation
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.layers.running_statistics import moving_average
from keras_norms.layers.square_root import SquareRoot
from keras_norms.statistics import ghost


@keras.saving.register_keras_serializable(package="keras_norms")
class BatchNormalization(BaseBatchNormalization):
    """Batch normalization, exact under masks and over replicas.

        training    y = activation(gamma[c] (x - mean[c]) / sqrt(var[c] + eps)
                                   + beta[c])
        inference   the same with moving_mean and moving_variance

    with the mean and the (biased) variance of channel c over the examples and
    positions of the batch (of a ghost batch, of all replicas, as asked for).
    With `trainable = False` the layer runs in inference mode.

    A superset of `keras.layers.BatchNormalization`: same arguments, defaults
    and weights, and the same class name, so that its weight files load.
    `moving_variance` follows the biased variance, as in Keras (PyTorch's is
    the unbiased one; its momentum is 1 minus this one).

    Arguments:
        momentum: moving <- momentum * moving + (1 - momentum) * batch.
        synchronized: whether statistics are those of the examples of all
            replicas: equal to one device on the joined batch. One all-reduce
            forward and one backward.
        ghost_batch_size: normalize each so many consecutive examples by
            themselves in training; the last ones may be fewer. None is the
            whole batch.
        ghost_statistics: what moving averages follow then: "batch", in one
            step, the moments of the whole batch; "sequential", in one step
            for each, those of the ghost batches; "average", in one step, the
            mean over ghost batches of their means and of their variances.
        inference_weight: alpha, from 0 to 1: at inference example n has mean
            `a m_n + (1 - a) m` and variance
            `a v_n + (1 - a) v + a (1 - a) (m_n - m)**2`.
        renorm: batch renormalization: `(x - mean) / std * r + d` in training,
            `r = std / renorm_stddev`, `d = (mean - renorm_mean) /
            renorm_stddev`, clipped, without gradient, so that training
            follows the averages that inference uses.
        renorm_clipping: a dictionary with `rmax`, `rmin` and `dmax`, each
            optional: r is clipped to [rmin, rmax], d to [-dmax, dmax].
        renorm_momentum: of renorm_mean and renorm_stddev.
        **kwargs: of every layer: `axis`, `epsilon`, `center`, `scale`,
            `*_initializer` (also of `moving_mean` and `moving_variance`),
            `*_regularizer`, `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input; moving
        averages are never held in 16 bits.
    Output: like the inputs, in the layer's compute dtype.
    Call: `training` may be a boolean tensor; `mask`.
    Mask: booleans over the leading axes of the inputs without their channel
        axis, or over all axes but the last, as `keras.layers.Masking` makes
        them. Masked positions are excluded from the statistics; where all are
        masked, training gives zeros. The mask is passed on.
    Replicas: the moving averages are the same on all replicas: those of the
        joined batch if synchronized, else the replicas' means and variances,
        weighted by their counts. Inside `tf.cond`, a loop, a
        `keras.layers.RNN` cell or an inner `tf.function` of a strategy's
        replica, each replica moves its own, and inference and files have
        their mean. A synchronized layer raises a RuntimeError there.
    A batch that is empty, all masked or not finite leaves the averages alone.
    Raises: ValueError for a momentum or an inference_weight outside [0, 1], a
        ghost batch below 1, ghost batches with `synchronized`, unknown
        `ghost_statistics`, "sequential" ones with `renorm`, wrong keys or
        values of `renorm_clipping`, inputs of rank 1, an axis out of bounds,
        channels of unknown number, a negative epsilon, a mask of another
        shape.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.BatchNormalization(epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1. -1.]
     [ 1.  1.]]

    Sources: Ioffe and Szegedy, Batch Normalization, 2015 (arXiv 1502.03167),
    algorithm 1; Ioffe, Batch Renormalization, 2017 (arXiv 1702.03275),
    section 3; Summers and Dinneen, Four Things Everyone Should Know to
    Improve Batch Normalization, ICLR 2020 (arXiv 1906.03548), sections on
    inference example weighing and on ghost batches.
    """

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
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        renorm=False,
        renorm_clipping=None,
        renorm_momentum=0.99,
        synchronized=False,
        ghost_batch_size=None,
        ghost_statistics="batch",
        inference_weight=0.0,
        **kwargs,
    ):
        validation.keras_2_batch(kwargs)
        super().__init__(
            axis=axis,
            momentum=momentum,
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            synchronized=synchronized,
            inference_weight=inference_weight,
            **kwargs,
        )
        self.ghost_batch_size = validation.examples(
            "ghost_batch_size", ghost_batch_size
        )
        validation.one_of_blocks_and_replicas(
            "ghost_batch_size", self.ghost_batch_size, synchronized
        )
        self.ghost_statistics = validation.one_of(
            "ghost_statistics",
            ghost_statistics,
            "batch",
            "sequential",
            "average",
        )
        self.renorm = validation.boolean("renorm", renorm)
        validation.one_of_renorm_and_ghost_steps(renorm, ghost_statistics)
        self.renorm_clipping = validation.renorm_clipping(renorm_clipping)
        self.renorm_momentum = validation.fraction(
            "renorm_momentum", renorm_momentum
        )
        self.moving_stddev = self.renorm_mean = self.renorm_stddev = None

    @property
    def examples_per_block(self):
        return self.ghost_batch_size

    def build(self, input_shape):
        super().build(input_shape)
        if not self.renorm:
            return
        stddev = SquareRoot(self.moving_variance_initializer)
        shape = self.moving_mean.shape
        for name, initializer in (
            ("moving_stddev", stddev),
            ("renorm_mean", self.moving_mean_initializer),
            ("renorm_stddev", stddev),
        ):
            weight = self.add_parameter(
                name, shape, initializer, trainable=False
            )
            setattr(self, name, weight)

    @property
    def parameters(self):
        return {
            **super().parameters,
            "moving_stddev": self.moving_stddev,
            "renorm_mean": self.renorm_mean,
            "renorm_stddev": self.renorm_stddev,
        }

    def training_coefficients(self, moments, instance, params):
        if not self.renorm:
            return self.algebra(moments, instance, params)
        clipping = self.renorm_clipping
        # The initial renorm_stddev may be 0.
        stddev = ops.maximum(params.renorm_stddev, self.epsilon**0.5)
        r = ops.sqrt(moments.variance + self.epsilon) / stddev
        r = ops.maximum(r, clipping.get("rmin") or 0.0)
        if clipping.get("rmax") is not None:
            r = ops.minimum(r, clipping["rmax"])
        d = moments.mean - params.renorm_mean + moments.residual
        d = d / stddev
        if clipping.get("dmax") is not None:
            d = ops.clip(d, -clipping["dmax"], clipping["dmax"])
        r, d = ops.stop_gradient(r), ops.stop_gradient(d)
        gamma, beta = params.gamma, params.beta
        if gamma is not None:
            r, d = r * gamma, d * gamma
        beta = d if beta is None else d + beta
        params = params.replace(gamma=r, beta=beta)
        return self.algebra(moments, instance, params)

    def running_target(self, batch, rows, params):
        if self.ghost_batch_size is None or self.ghost_statistics == "batch":
            return batch
        if self.ghost_statistics == "average":
            return ghost.average(batch, rows, self.ghost_batch_size)
        return ghost.sequential(
            batch,
            rows,
            self.ghost_batch_size,
            self.momentum,
            params.moving_mean,
            params.moving_variance,
        )

    def updated_state(self, mean, variance, params):
        state = super().updated_state(mean, variance, params)
        if not self.renorm:
            return state
        stddev = ops.sqrt(variance + self.epsilon)
        for name, value, momentum in (
            ("renorm_mean", mean, self.renorm_momentum),
            ("renorm_stddev", stddev, self.renorm_momentum),
            ("moving_stddev", stddev, self.momentum),
        ):
            state[name] = moving_average(params[name], value, momentum)
        # The paper averages deviations, not variances.
        square = ops.square(state["moving_stddev"])
        state["moving_variance"] = ops.maximum(square - self.epsilon, 0.0)
        return state

    def get_config(self):
        return {
            **super().get_config(),
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
            "ghost_batch_size": self.ghost_batch_size,
            "ghost_statistics": self.ghost_statistics,
        }
