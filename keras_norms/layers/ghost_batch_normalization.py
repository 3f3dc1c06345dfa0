import keras

from keras_norms.layers.batch_normalization import BatchNormalization


@keras.saving.register_keras_serializable(package="keras_norms")
class GhostBatchNormalization(BatchNormalization):
    """Batch normalization with small statistics in a large batch.

        training    y = activation(gamma[c] (x - mean[b, c])
                                   / sqrt(var[b, c] + eps) + beta[c])
        inference   the same with moving_mean and moving_variance

    with the mean and the (biased) variance of channel c over the examples and
    positions of the ghost batch b: examples 0 to B - 1, B to 2 B - 1, and so
    on. The last one may be smaller. Inference has no ghost batches.
    `BatchNormalization` with `ghost_batch_size` set; weights are the same.

    Arguments:
        ghost_batch_size: B, in examples; the noise of the statistics, and so
            the regularization, grows as it falls.
        ghost_statistics: what moving averages follow, see
            `BatchNormalization`: "batch" as in the code of Four Things,
            "sequential" as in that of Hoffer et al.
        momentum, epsilon: see `BatchNormalization`; momentum is that of one
            step, of which "sequential" takes one per ghost batch.
        **kwargs: see `BatchNormalization`, for inputs, output, masks,
            replicas and errors too.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.GhostBatchNormalization(
    ...     ghost_batch_size=2, epsilon=0.0)
    >>> x = np.array([[1.0], [3.0], [10.0], [50.0]])
    >>> print(np.array(layer(x, training=True)).ravel())
    [-1.  1. -1.  1.]

    Sources: Hoffer, Hubara and Soudry, Train longer, generalize better, 2017
    (arXiv 1705.08741), algorithm 1; Summers and Dinneen, Four Things, ICLR
    2020 (arXiv 1906.03548), section on ghost batches.
    """

    def __init__(
        self,
        ghost_batch_size=32,
        ghost_statistics="batch",
        momentum=0.99,
        epsilon=1e-3,
        **kwargs,
    ):
        super().__init__(
            ghost_batch_size=ghost_batch_size,
            ghost_statistics=ghost_statistics,
            momentum=momentum,
            epsilon=epsilon,
            **kwargs,
        )
