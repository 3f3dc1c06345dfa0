"""The two passes over x that carry every method."""

import functools

from keras_norms.engine import normalize as engine
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.statistics.affine import Coefficients


def normalize(
    x,
    coefficients,
    parameters=None,
    *,
    mask=None,
    axis=-1,
    examples=1,
    statistics=True,
    activation=None,
    dtype=None,
):
    """`activation((x - center) * scale + shift)` for any algebra of moments.

        moments  = instance moments of x                      one read of x
        center, scale, shift = coefficients(moments, **parameters)
        y = activation((x - center) * scale + shift)     one read, one write

    The gradient takes three sums of small tables from one pass over x and dy,
    differentiates the algebra, and writes dx in a second pass; x itself is
    the only large tensor that is kept.

    Arguments:
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        coefficients: a function of `Moments` (or of None, where `statistics`
            is False) and of the parameters by name, differentiable, that
            returns `Coefficients` or `(Coefficients, extras)`.
        parameters: a dictionary of the tensors that gradients must reach;
            they arrive in the dtype of the statistics. None is left out.
        mask: booleans over the leading axes of x without its channel axis, of
            rank 1 to `ndim - 1`, or as Keras has them, over all axes of x but
            the last: where channels come first, with a value for each
            channel. A mask that can be read both ways is Keras's. Masked
            positions are excluded from the moments. They are still
            normalized; non-finite values there are read as 0.
        axis: the channel axis.
        examples: how many examples a row of the moments holds, None for the
            whole batch: the finest blocks that `coefficients` must tell apart.
            Where the batch is no multiple of it, rows hold one example.
        statistics: whether pass 1 is needed at all.
        activation: a differentiable function, recomputed in the backward
            pass, not stored.
        dtype: of y; by default that of x, and of the statistics for integers.

    Raises: ValueError for x of rank 1 or not of real numbers, an axis out of
        bounds, channels of unknown number, a mask of another shape.

    Returns: `(y, extras)`: y in the shape of x, and what else `coefficients`
        returned, () if nothing. No gradient flows through extras.

    Example:

    >>> import numpy as np
    >>> from keras_norms import ops
    >>> x = np.array([[1.0, 3.0], [5.0, 9.0]])
    >>> def coefficients(moments, gamma):
    ...     return ops.affine(moments.pool(groups=1), gamma, epsilon=0.0)
    >>> y, _ = ops.normalize(x, coefficients, {"gamma": np.array([1.0, 2.0])})
    >>> print(np.array(y))
    [[-1.  2.]
     [-1.  2.]]
    """
    spec = NormSpec(
        functools.partial(_algebra, coefficients),
        axis,
        examples,
        statistics,
        activation,
        dtype,
    )
    return engine.normalize(spec, x, Params(parameters or {}), mask)


def _algebra(function, moments, params):
    result = function(moments, **params.present())
    if isinstance(result, tuple) and len(result) == 2:
        coefficients, extras = result
        if isinstance(coefficients, Coefficients):
            return coefficients.with_updates(extras)
    return result
