import keras

from keras_norms import validation
from keras_norms.layers.batch_normalization import BatchNormalization


@keras.saving.register_keras_serializable(package="keras_norms")
class CrossReplicaBatchNormalization(BatchNormalization):
    """Batch normalization over the examples of all replicas, exactly.

        training    y = activation(gamma[c] (x - mean[c]) / sqrt(var[c] + eps)
                                   + beta[c])
        inference   the same with moving_mean and moving_variance

    with the mean and the (biased) variance of channel c over the examples and
    positions of all replicas of a `tf.distribute` strategy, merged from
    their counts, means and variances: equal to one device on the joined
    batch in output, gradients and moving averages, also where replicas hold
    unequal numbers of examples, or none, and under masks.
    `BatchNormalization` with `synchronized=True`; weights are the same. One
    all-reduce forward and one backward; outside a strategy there are none.

    Arguments:
        replicas_per_group: merge only so many neighbouring replicas (those of
            one machine, say), a divisor of their number; moving averages
            still are of all. None merges all.
        momentum, epsilon: see `BatchNormalization`.
        **kwargs: see `BatchNormalization`, for inputs, output, masks and
            errors too.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.CrossReplicaBatchNormalization(epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1. -1.]
     [ 1.  1.]]

    Sources: Peng et al., MegDet, CVPR 2018 (arXiv 1711.07240), section 3.3;
    the merge of Chan, Golub and LeVeque, 1979.
    """

    def __init__(
        self,
        replicas_per_group=None,
        synchronized=True,
        momentum=0.99,
        epsilon=1e-3,
        **kwargs,
    ):
        if not synchronized:
            raise ValueError(
                "CrossReplicaBatchNormalization is synchronized. Received: "
                f"synchronized={synchronized!r}. Use BatchNormalization for "
                "statistics of each replica by itself."
            )
        super().__init__(
            synchronized=True, momentum=momentum, epsilon=epsilon, **kwargs
        )
        self.replicas_per_group = validation.replicas(replicas_per_group)

    def get_config(self):
        return {
            **super().get_config(),
            "replicas_per_group": self.replicas_per_group,
        }
