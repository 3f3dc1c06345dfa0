from typing import Any

import keras

from keras_norms.docstrings import insert_blocks
from keras_norms.layers.batch_normalization import BatchNormalization


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class GhostBatchNormalization(BatchNormalization):
    """Batch normalization with statistics of small parts of a large batch.

    ```
    training    y = activation(gamma[c] (x - mean[b, c])
                               / sqrt(var[b, c] + epsilon) + beta[c])
    inference   the same with moving_mean and moving_variance
    ```

    The mean and the (biased) variance of channel c are taken over the examples
    and positions of the ghost batch b. With B the size of a ghost batch, the
    ghost batches are the examples 0 to B - 1, B to 2 B - 1, and so on. The
    last one may be smaller.

    The layer is `BatchNormalization` with `ghost_batch_size` set and has the
    same weights.

    {{batch_masking}}

    {{batch_inference}}
    Inference has no ghost batches.

    {{batch_replicas}}

    Args:
        ghost_batch_size: Integer, the number of examples per ghost batch. The
            noise of the statistics, and with it the regularization, increases
            as this number decreases. Defaults to `32`.
        ghost_statistics: String, the target of the running statistics.
            `"batch"`: one update with the moments of the whole batch, as in
            the code of Summers and Dinneen. `"sequential"`: one update per
            ghost batch, in order, as in the code of Hoffer et al.
            `"average"`: one update with the averages of the means and of the
            variances of the ghost batches. Defaults to `"batch"`.
        momentum: Float from 0 to 1, the momentum of one update of the moving
            averages. `"sequential"` makes one update per ghost batch. Defaults
            to `0.99`.
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        {{axis}}
        {{parameter_args}}
        {{running_args}}
        {{renorm_args}}
        {{synchronized}}
        {{inference_weight}}
        {{running_variance}}
        {{frozen_statistics}}
        {{layer_kwargs}}

    {{batch_call_sections}}

    Raises:
        {{running_errors}}
        {{batch_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.GhostBatchNormalization(
    ...     ghost_batch_size=2, epsilon=0.0)
    >>> x = np.array([[1.0], [3.0], [10.0], [50.0]])
    >>> print(np.array(layer(x, training=True)).ravel())
    [-1.  1. -1.  1.]

    Reference:

    - Hoffer, Hubara and Soudry, Train longer, generalize better, 2017,
      [arXiv 1705.08741](https://arxiv.org/abs/1705.08741), algorithm 1.
    - Summers and Dinneen, Four Things Everyone Should Know to Improve Batch
      Normalization, 2020, [arXiv 1906.03548](https://arxiv.org/abs/1906.03548),
      section on ghost batches.
    """

    def __init__(
        self,
        ghost_batch_size: int | None = 32,
        ghost_statistics: str = "batch",
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            ghost_batch_size=ghost_batch_size,
            ghost_statistics=ghost_statistics,
            momentum=momentum,
            epsilon=epsilon,
            **kwargs,
        )
