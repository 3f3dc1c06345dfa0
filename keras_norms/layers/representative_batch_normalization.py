from typing import Any

import keras

from keras_norms.docstrings import insert_blocks
from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class RepresentativeBatchNormalization(BaseCalibratedBatchNormalization):
    """Batch normalization, calibrated by each example's means.

    ```
    x' = x + center_weight[c] g[n, c]
    xhat = (x' - mean[c]) / sqrt(var[c] + epsilon)
    y = activation(gamma[c] sigmoid(scale_weight[c] ghat[n, c] + scale_bias[c])
                   xhat + beta[c])
    ```

    g and ghat are the means of channel c of x and of xhat over the positions
    of example n. The mean and the (biased) variance are those of channel c of
    x' over the batch. `center_weight` and `scale_weight` start at 0 and
    `scale_bias` at 1, so a new layer is `sigmoid(1) = 0.731` times batch
    normalization. The layer has three more weights per channel than batch
    normalization.

    {{batch_masking}}
    g and ghat are 0 for an example without an unmasked position.

    {{batch_inference}}
    The running statistics are those of x', as are the moments of an example.
    g and ghat are computed from each example, as in training.

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
    >>> layer = keras_norms.layers.RepresentativeBatchNormalization(
    ...     epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)).round(3))
    [[-0.731 -0.731]
     [ 0.731  0.731]]

    Reference:

    - Gao et al., Representative Batch Normalization with Feature Calibration,
      CVPR 2021, section 3. Epsilon and momentum are those of the authors'
      code.
    """

    centers = True
    gate_of = "normalized"

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
