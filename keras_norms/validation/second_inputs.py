"""Checks of the second input of a layer."""

import keras
import numpy as np
from keras import ops

from keras_norms.validation.kinds import is_integer


def domain(value, domains):
    """Converts the domains of examples to a tensor of integers.

    Args:
        value: an integer, or a tensor `[batch]` or `[batch, 1]`.
        domains: the number of domains.
    """
    known = np.asarray(value) if _is_known(value) else None
    if known is not None and known.dtype.kind in "iu" and known.size:
        wrong = known[(known < 0) | (known >= domains)]
        if wrong.size:
            raise ValueError(
                f"`domain` must be from 0 to `domains - 1`, {domains - 1}. "
                f"Received: {int(wrong.ravel()[0])}. Correct it, or create "
                "the layer with more domains."
            )
    value = ops.convert_to_tensor(value)
    dtype = keras.backend.standardize_dtype(value.dtype)
    shape = tuple(value.shape)
    fits = len(shape) < 2 or (len(shape) == 2 and shape[1] == 1)
    if not keras.backend.is_int_dtype(dtype) or not fits:
        raise ValueError(
            "`domain` must be an integer for each example, `[batch]` or "
            f"`[batch, 1]`, or one integer. Received: shape {shape}, dtype "
            f"{dtype}. Pass the number of the domain, for example "
            '`keras.Input((), dtype="int32")`.'
        )
    return ops.cast(value, "int32")


def conditioned(layer, is_affine):
    """Checks a layer whose output a condition scales and shifts."""
    if not is_affine:
        received = getattr(layer, "name", layer)
        raise ValueError(
            "`normalization` must be a layer of keras_norms with one input "
            "and without a convolution, or 'instance', 'group', 'layer' or "
            f"'batch'. Received: {received!r}. For unified batch norm, pass "
            '`affine="channel"`.'
        )


def projection(value):
    """Checks what maps a condition to dgamma and dbeta."""
    named = value is None or value in ("dense", "moments")
    if not named and not isinstance(value, keras.layers.Layer):
        raise ValueError(
            "`projection` must be 'dense', 'moments', a layer or None. "
            f"Received: projection={value!r}. To use a function, pass a "
            "`keras.layers.Lambda` or a layer of your own."
        )
    return value


def condition(shape, channels):
    """Checks the shape of `[dgamma, dbeta]`: `[batch, 2 * channels]`."""
    shape = tuple(shape)
    if len(shape) != 2 or shape[1] != 2 * channels:
        raise ValueError(
            "The projection of the condition must have the shape `[batch, 2 * "
            f"channels]`, here (batch, {2 * channels}). Received: {shape}. "
            "Pass a condition of rank 2, with `projection=None` of 2 * "
            "channels numbers, or another projection."
        )


def condition_rows(rows, examples):
    """Checks that there is a condition for each example, or one for all."""
    known = rows is not None and examples is not None
    if known and rows not in (1, examples):
        raise ValueError(
            "The condition must have a row for each example, or one for all. "
            f"Received: {rows} rows for {examples} examples. Pass as many "
            "rows as examples."
        )


def _is_known(value):
    # Only an eager tensor has this method.
    known = (list, tuple, np.ndarray)
    return (
        is_integer(value)
        or isinstance(value, known)
        or callable(getattr(value, "numpy", None))
    )
