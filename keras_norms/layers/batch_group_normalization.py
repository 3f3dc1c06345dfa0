from typing import Any

import keras

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.statistics.moments import Moments
from keras_norms.types import Config
from keras_norms.types import Shape


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class BatchGroupNormalization(BaseBatchNormalization):
    """Batch-group normalization: statistics of examples and of channel groups.

    ```
    training    y = activation(gamma[c] (x - mean[b, g])
                               / sqrt(var[b, g] + epsilon) + beta[c])
    inference   the same with mean and variance of the group g from the
                running statistics, which are kept for each channel
    ```

    The mean and the (biased) variance are taken over the positions of the
    examples of the block b and over the channels of the group g of c. Each
    statistic has more elements than that of batch normalization and more
    noise than that of group normalization, which suits batches of a few
    examples. With one channel per group, the layer is (ghost) batch
    normalization. With one example per block, it is group normalization in
    training.

    {{batch_masking}}

    {{batch_inference}}
    The moments of an example are those of group normalization, so the layer is
    group normalization at inference with `inference_weight=1`.

    {{batch_replicas}}

    Args:
        groups: Integer, the number of groups, a divisor of the number of
            channels. `-1` means one channel per group. Defaults to `32`.
        examples_per_group: Integer, the number of consecutive examples per
            block, or `None` for the whole batch. The last block may be
            smaller. Defaults to `None`.
        momentum: Float, momentum of the moving averages. Defaults to `0.99`.
        epsilon: Float that is added to the variance. Defaults to `1e-5`.
        running_variance: String, what `moving_variance` holds.
            {{running_variances}}
            Defaults to `"total"`.
        {{frozen_statistics}}
        {{axis}}
        {{parameter_args}}
        {{running_args}}
        {{synchronized}}
        {{inference_weight}}
        {{layer_kwargs}}

    {{batch_call_sections}}

    Raises:
        ValueError: If `groups` is not -1 or a positive divisor of the number
            of channels, if `examples_per_group` is below 1, or if it is
            combined with `synchronized`.
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.BatchGroupNormalization(
    ...     groups=1, epsilon=0.0)
    >>> x = np.array([[1.0, 5.0], [1.0, 5.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1.  1.]
     [-1.  1.]]

    Reference:

    - Summers and Dinneen, Four Things Everyone Should Know to Improve Batch
      Normalization, 2020, [arXiv 1906.03548](https://arxiv.org/abs/1906.03548),
      section on batch/group normalization. Inference, epsilon and momentum are
      those of the authors' code.
    """

    def __init__(
        self,
        groups: int = 32,
        examples_per_group: int | None = None,
        momentum: float = 0.99,
        epsilon: float = 1e-5,
        running_variance: str = "total",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            momentum=momentum,
            epsilon=epsilon,
            running_variance=running_variance,
            **kwargs,
        )
        self.groups = validation.groups(groups)
        self.examples_per_group = validation.examples(
            "examples_per_group", examples_per_group
        )
        validation.refuse_synchronized_blocks(
            "examples_per_group", self.examples_per_group, self.synchronized
        )

    @property
    def examples_per_block(self) -> int | None:
        return self.examples_per_group

    def build(self, input_shape: Shape) -> None:
        channels = validation.channels(self.axis, input_shape)
        validation.groups_of(self.groups, channels)
        super().build(input_shape)

    def channel_groups(self, moments: Moments) -> Moments:
        return moments.pool(groups=self.groups)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "groups": self.groups,
            "examples_per_group": self.examples_per_group,
        }
