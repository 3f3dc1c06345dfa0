"""Pass 1: the moments of each row, from one read of x."""

import keras
from keras import ops

from keras_norms import validation
from keras_norms.engine.normalize import select_backend
from keras_norms.engine.spec import NormSpec
from keras_norms.statistics.arrays import like
from keras_norms.statistics.arrays import statistics_dtype


def instance_moments(x, mask=None, axis=-1):
    """Count, mean and variance of each channel of each example.

        mean[n, c]     = sum over positions s of x[n, s, c] / count[n]
        variance[n, c] = sum over s of (x[n, s, c] - mean[n, c])**2 / count[n]

    Arguments:
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        mask: booleans over the leading axes of x without its channel axis;
            False positions are left out, whatever they hold.
        axis: the channel axis.

    Returns: `Moments` with `count` `[batch]`, `mean` and `variance`
        `[batch, channels]`, float32 or, for float64 input, float64.

    Raises: ValueError as `normalize` does.

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
    backend = select_backend(x, mask, axis)
    # The algebra is not read.
    spec = NormSpec(lambda moments, params: moments, axis)
    moments, _ = backend(spec, x, mask).moments(x)
    if mask is None:
        moments.count = like(moments.count, moments.mean[:, 0])
    return moments
