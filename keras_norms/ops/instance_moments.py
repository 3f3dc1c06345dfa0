"""Pass 1: the moments of each row, from one read of x."""

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.normalize import select_backend
from keras_norms.engine.spec import NormSpec
from keras_norms.statistics.affine import affine
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import statistics_dtype
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


@insert_blocks
def instance_moments(
    x: Tensor, mask: Tensor | None = None, axis: int = -1
) -> Moments:
    """Count, mean and variance of each channel of each example.

    ```
    mean[n, c]     = sum over positions s of x[n, s, c] / count[n]
    variance[n, c] = sum over s of (x[n, s, c] - mean[n, c])**2 / count[n]
    ```

    Masking: Masked positions are excluded, whatever values they hold.

    Args:
        {{x}}
        {{x_mask}}
        {{x_axis}}

    Returns:
        `Moments` with `count` of shape `[batch]`, and `mean` and `variance`
        of shape `[batch, channels]`, in float32, or in float64 for float64
        inputs.

    Raises:
        {{x_errors}}

    Example:

    >>> import numpy as np
    >>> from keras_norms.ops import instance_moments
    >>> x = np.arange(12.0).reshape(1, 2, 2, 3)
    >>> moments = instance_moments(x)
    >>> print(np.array(moments.mean))
    [[4.5 5.5 6.5]]
    >>> print(np.array(moments.variance))
    [[11.25 11.25 11.25]]
    """
    x, mask = validation.inputs(x, mask, axis)
    if not keras.backend.is_float_dtype(x.dtype):
        x = ops.cast(x, statistics_dtype(x.dtype))
    backend_class = select_backend(x, mask, axis)
    # Pass 1 does not run the algebra.
    spec = NormSpec(lambda moments, params: affine(moments), axis)
    moments, _ = backend_class(spec, x, mask).moments(x)
    if mask is None:
        moments.count = like(moments.count, moments.mean[:, 0])
    return moments
