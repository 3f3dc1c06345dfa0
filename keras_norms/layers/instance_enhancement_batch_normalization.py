from typing import Any

import keras

from keras_norms.docstrings import insert_blocks
from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class InstanceEnhancementBatchNormalization(BaseCalibratedBatchNormalization):
    """Batch normalization whose scale is calibrated by each example's means.

    ```
    y = activation(gamma[c] sigmoid(scale_weight[c] g[n, c] + scale_bias[c])
                   xhat + beta[c])
    ```

    `xhat` is that of batch normalization, and g is the mean of channel c of
    the inputs over the positions of example n, in training and at inference.
    `scale_weight` starts at 0 and `scale_bias` at -1, so a new layer is
    `sigmoid(-1) = 0.269` times batch normalization. The layer has two more
    weights per channel than batch normalization.

    {{batch_masking}}
    g is 0 for an example without an unmasked position.

    {{batch_inference}}

    {{batch_replicas}}

    Args:
        momentum: Float, momentum of the moving averages. Defaults to `0.9`.
        epsilon: Float that is added to the variance. Defaults to `1e-5`.
        {{batch_args}}

    {{batch_call_sections}}

    Raises:
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.InstanceEnhancementBatchNormalization(
    ...     epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)).round(3))
    [[-0.269 -0.269]
     [ 0.269  0.269]]

    Reference:

    - Liang et al., Instance Enhancement Batch Normalization, 2020,
      [arXiv 1908.04008](https://arxiv.org/abs/1908.04008), section 3. Epsilon
      and momentum are those of the authors' code.
    """

    gate_of = "inputs"

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )
