import keras

from keras_norms import validation
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization


@keras.saving.register_keras_serializable(package="keras_norms")
class BatchGroupNormalization(BaseBatchNormalization):
    """Batch-group normalization: pooled over examples and over channels.

        training    y = activation(gamma[c] (x - mean[b, g])
                                   / sqrt(var[b, g] + eps) + beta[c])
        inference   the same with mean and variance of the group g from the
                    moving averages, which are kept channel by channel

    with the mean and the (biased) variance over the positions of the examples
    of the block b and over the channels of the group g of c. More elements a
    statistic than batch norm has, more noise than group norm has: for batches
    of a few examples. With a group a channel it is (ghost) batch norm; with
    one example a block, group norm in training.

    Arguments:
        groups: how many groups, a divisor of the number of channels; -1 is
            one a channel.
        examples_per_group: how many consecutive examples make a block; the
            last one may be smaller. None is the whole batch.
        momentum: of the running averages, see `BatchNormalization`.
        epsilon: added to the variance.
        synchronized: see `BatchNormalization`.
        inference_weight: alpha, from 0 to 1: the share of the example's own
            statistics (those of group norm) at inference, see
            `BatchNormalization`. 1 is group norm.
        **kwargs: of every layer: `axis`, `center`, `scale`, `*_initializer`
            (also of `moving_mean` and `moving_variance`), `*_regularizer`,
            `*_constraint`, `activation`.

    Inputs: `[batch, ..., channels]` (channels at `axis`), rank 2 or more, any
        real dtype. Statistics are float32, float64 for float64 input.
    Output: like the inputs, in the layer's compute dtype.
    Masks and replicas: see `BatchNormalization`.
    Raises: ValueError as `BatchNormalization` and `GroupNormalization` do,
        and for `examples_per_group` together with `synchronized`.

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.BatchGroupNormalization(
    ...     groups=1, epsilon=0.0)
    >>> x = np.array([[1.0, 5.0], [1.0, 5.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1.  1.]
     [-1.  1.]]

    Source: Summers and Dinneen, Four Things Everyone Should Know to Improve
    Batch Normalization, ICLR 2020 (arXiv 1906.03548), batch/group
    normalization; inference, epsilon and momentum as in the authors' code.
    """

    def __init__(
        self,
        groups=32,
        examples_per_group=None,
        momentum=0.99,
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.groups = validation.groups(groups)
        self.examples_per_group = validation.examples(
            "examples_per_group", examples_per_group
        )
        validation.one_of_blocks_and_replicas(
            "examples_per_group", self.examples_per_group, self.synchronized
        )

    @property
    def examples_per_block(self):
        return self.examples_per_group

    def build(self, input_shape):
        channels = validation.channels(self.axis, input_shape)
        validation.groups_of(self.groups, channels)
        super().build(input_shape)

    def channel_groups(self, moments):
        return moments.pool(groups=self.groups)

    def get_config(self):
        return {
            **super().get_config(),
            "groups": self.groups,
            "examples_per_group": self.examples_per_group,
        }
