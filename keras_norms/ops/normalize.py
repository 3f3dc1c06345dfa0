"""The two passes over x that carry every method."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_norms.ops.layout import Layout
from keras_norms.ops.moments import as_float
from keras_norms.ops.moments import find_pivot
from keras_norms.ops.moments import shifted_moments
from keras_norms.ops.moments import statistics_dtype


class Coefficients(NamedTuple):
    """Tables, `[rows, channels]` or broadcastable to it, of

    y = activation((x - center) * scale + shift)
    """

    center: Any
    scale: Any
    shift: Any


def affine(moments, gamma=None, beta=None, epsilon=1e-3):
    """Coefficients of `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.

    Rows with nothing in them get zeros.
    """
    scale = ops.rsqrt(moments.variance + epsilon)
    if gamma is not None:
        scale = scale * gamma
    shift = -moments.residual * scale
    if beta is not None:
        shift = shift + beta
    # Without a mask, where there is nothing to count there is no y.
    if len(getattr(moments.count, "shape", ())) > 0:
        present = moments.count[:, None] > 0
        scale = ops.where(present, scale, 0.0)
        shift = ops.where(present, shift, 0.0)
    return Coefficients(moments.mean, scale, shift)


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
            rank 1 to `ndim - 1`. False positions do not enter the moments;
            they are normalized like the others (not a number: like 0).
        axis: the channel axis.
        examples: how many examples a row of the moments holds, None for the
            whole batch: the finest blocks that `coefficients` must tell apart.
            Where the batch is no multiple of it, rows hold one example.
        statistics: whether pass 1 is needed at all.
        activation: a differentiable function, recomputed in the backward
            pass, not stored.
        dtype: of y; by default that of x, and of the statistics for integers.

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
    x = ops.convert_to_tensor(x)
    if not keras.backend.is_float_dtype(x.dtype):
        x = as_float(x)
    if keras.backend.backend() == "tensorflow":
        from keras_norms.ops.gradient import two_passes
    else:
        two_passes = _two_passes
    parameters = {
        name: ops.cast(value, statistics_dtype(x))
        for name, value in (parameters or {}).items()
        if value is not None
    }
    layout = Layout(x, axis, examples)
    passes = Passes(
        layout,
        layout.mask(mask),
        coefficients,
        statistics,
        activation,
        dtype or keras.backend.standardize_dtype(x.dtype),
    )
    return two_passes(passes, x, parameters)


class Passes:
    """The two passes, as steps that their gradient shares."""

    def __init__(
        self, layout, mask, coefficients, statistics, activation, dtype
    ):
        self.layout = layout
        self.mask = mask
        self.coefficients = coefficients
        self.statistics = statistics
        self.activation = activation
        self.dtype = dtype

    def view(self, x):
        """x in the dtype of statistics; what is masked is made finite."""
        view = self.layout.view(as_float(x))
        if self.mask is None:
            return view
        keep = ops.logical_or(self.mask, ops.isfinite(view))
        return ops.where(keep, view, 0.0)

    def shift(self, view, pivot):
        return view - self.layout.spread_all(pivot)

    def algebra(self, moments, parameters):
        """Whole tables of coefficients, and the extras."""
        result = self.coefficients(moments, **parameters)
        extras = ()
        if not isinstance(result, Coefficients):
            result, extras = result
        return Coefficients(*map(self.layout.whole, result)), extras

    def line(self, pivot, tables):
        """Scale and shift of `x - pivot`, spread over x."""
        shift = tables.shift - (tables.center - pivot) * tables.scale
        spread = self.layout.spread_all
        return spread(tables.scale), spread(shift)

    def output(self, linear):
        if self.activation is not None:
            linear = self.activation(linear)
        return ops.cast(self.layout.restore(linear), self.dtype)

    def forward(self, x, parameters, algebra):
        """`(y, extras)` and the tables that the gradient needs."""
        view = self.view(x)
        if self.statistics:
            pivot = find_pivot(self.layout, view, self.mask)
            shifted = self.shift(view, pivot)
            moments = shifted_moments(self.layout, shifted, pivot, self.mask)
            tables, extras = algebra(moments, parameters)
        else:
            moments = None
            tables, extras = algebra(moments, parameters)
            pivot = ops.stop_gradient(tables.center)
            shifted = self.shift(view, pivot)
        scale, shift = self.line(pivot, tables)
        y = self.output(shifted * scale + shift)
        return (y, extras), (pivot, moments, tables, scale, shift)


def _two_passes(passes, x, parameters):
    """The backend differentiates as it finds."""
    return passes.forward(x, parameters, passes.algebra)[0]


def group_normalization(
    x,
    groups=32,
    gamma=None,
    beta=None,
    *,
    mask=None,
    axis=-1,
    epsilon=1e-3,
    activation=None,
):
    """Group normalization as a function.

        y = activation(gamma[c] (x - mean[n, g]) / sqrt(var[n, g] + eps)
                       + beta[c])

    with the mean and the variance of example n over its positions and over
    the channels of the group g of c.

    Arguments:
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        groups: a divisor of the number of channels; -1 is one group a channel
            (instance normalization), 1 one for all (layer normalization).
        gamma, beta: `[channels]`, or None for 1 and 0.
        mask: as in `normalize`.
        axis: the channel axis.
        epsilon: added to the variance.
        activation: a function applied to the result, or None.

    Returns: a tensor like x (float32 where x holds integers).

    Source: Wu and He, Group Normalization, ECCV 2018, equations 1 to 7.

    Example:

    >>> import numpy as np
    >>> from keras_norms.ops import group_normalization
    >>> x = np.array([[1.0, 3.0, 5.0, 9.0]])
    >>> print(np.array(group_normalization(x, groups=2, epsilon=0.0)))
    [[-1.  1. -1.  1.]]
    """

    def coefficients(moments, gamma=None, beta=None):
        pooled = moments.pool(groups=None if groups == -1 else groups)
        return affine(pooled, gamma, beta, epsilon)

    y, _ = normalize(
        x,
        coefficients,
        {"gamma": gamma, "beta": beta},
        mask=mask,
        axis=axis,
        activation=activation,
    )
    return y
