"""Pass 1: the moments of each row, from one read of x."""

import keras
from keras import ops

from keras_norms import arguments
from keras_norms.ops import native
from keras_norms.ops.layout import Layout
from keras_norms.ops.layout import inverse
from keras_norms.ops.moments import Moments
from keras_norms.ops.tables import as_float
from keras_norms.ops.tables import like
from keras_norms.ops.tables import pinned
from keras_norms.ops.tables import row_counts


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
    x, mask = arguments.inputs(x, mask, axis)
    if not keras.backend.is_float_dtype(x.dtype):
        x = as_float(x)
    layout = Layout(x, axis)
    has_kernels = not layout.has_channels(mask)
    mask = layout.mask(mask)
    if has_kernels and native.runs(x):
        from keras_norms.ops.native_passes import native_moments

        return native_moments(layout, x, mask)
    view = layout.view(as_float(x))
    pivot = find_pivot(layout, view, mask)
    shifted = view - layout.spread(pivot)
    moments = shifted_moments(layout, shifted, pivot, mask)
    if mask is None:
        moments.count = like(moments.count, moments.mean[:, 0])
    return moments


def find_pivot(layout, view, mask):
    """A table near the means: all else is computed from `view - pivot`.

    Differences from it are of the size of the deviation, so float32 keeps
    the deviation's digits however large the mean is. It is a value of the row
    plus the mean difference from it: where a row is constant, that value
    exactly.
    """
    if mask is None:
        sample = layout.sample(view)
        value = layout.first(sample)
        difference = layout.mean(sample - layout.spread(value))
    else:
        count = layout.sum(ops.cast(mask, view.dtype))
        value = layout.max(view, mask)
        # A masked example is normalized too, by the moments of others.
        value = ops.where(count > 0, value, layout.first(view))
        spread = layout.spread_all(value)
        difference = layout.sum(ops.where(mask, view, spread) - spread)
        difference = difference * inverse(count, view.dtype)
    # Of inputs that are not finite too, as moments others than theirs, such
    # as running ones, may be what normalizes.
    pivot = ops.stop_gradient(value + difference)
    return pinned(ops.where(ops.isfinite(pivot), pivot, 0.0))


def shifted_moments(layout, shifted, pivot, mask):
    """Pass 1: the moments of each row from sums of `view - pivot`."""
    if mask is None:
        count = layout.count(shifted)
        over_count = inverse(count, pivot.dtype)
    else:
        count = layout.sum(ops.cast(mask, pivot.dtype))
        over_count = inverse(count, pivot.dtype)
        shifted = ops.where(mask, shifted, 0.0)
    offset = layout.sum(shifted) * over_count
    square = layout.sum(ops.square(shifted)) * over_count
    mean = pinned(pivot + offset)
    residual = (pivot - mean) + offset
    if mask is not None:
        mean, residual = (
            ops.where(count > 0, table, 0.0) for table in (mean, residual)
        )
        count = row_counts(count)
    return Moments(
        count,
        mean,
        ops.maximum(square - ops.square(offset), 0.0),
        ops.stop_gradient(residual),
        layout.examples,
    )
