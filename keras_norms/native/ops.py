"""The native library's operations: what tf_ops/contract declares."""

import functools
import runpy

import keras
import tensorflow as tf

from keras_norms.engine.gelu_tanh import gelu_tanh
from keras_norms.native import cache
from keras_norms.native.loader import load
from keras_norms.statistics.arrays import statistics_dtype


def activation(function):
    """The library's name of an activation, or `None` if it has none."""
    if function is None:
        return "identity"
    try:
        return _activations().get(function)
    except TypeError:  # A function that is not hashable is none of these.
        return None


@functools.cache
def _activations():
    """The library's name of each function of Keras and of TensorFlow."""
    path = cache.sources() / "contract" / "definitions.py"
    names = runpy.run_path(str(path))["activations"]()
    found = {keras.activations.linear: "identity", gelu_tanh: "gelu_tanh"}
    for name in names:
        for module in (keras.activations, tf.nn):
            if hasattr(module, name):
                found[getattr(module, name)] = name
    return found


def _empty(mask, dtype):
    return tf.zeros([0], dtype) if mask is None else mask


def _layout(layout):
    examples = layout.requested_examples
    return {
        "axis": layout.axis,
        "examples": -1 if examples is None else examples,
    }


def moments(x, mask, layout):
    """Pass 1: count, mean, variance and residual, by one read of x."""
    return load().keras_norms_moments(
        x, _empty(mask, "bool"), S=statistics_dtype(x.dtype), **_layout(layout)
    )


def apply(x, mask, coefficients, activation, layout):
    """Pass 2: y, by one read of x and one write."""
    return load().keras_norms_apply(
        x,
        _empty(mask, "bool"),
        *coefficients,
        activation=activation,
        **_layout(layout),
    )


def gradient_sums(x, dy, mask, coefficients, activation, layout):
    """Pass 3: sums of dy' and of dy' (x - center), by one read of both."""
    return load().keras_norms_gradient_sums(
        x,
        dy,
        _empty(mask, "bool"),
        *coefficients,
        activation=activation,
        **_layout(layout),
    )


def gradient_combine(
    x, dy, mask, coefficients, activation, layout, slope, offset
):
    """Pass 4: dx, by one read of x and of dy and one write."""
    dtype = statistics_dtype(x.dtype)
    return load().keras_norms_gradient_combine(
        x,
        dy,
        _empty(mask, "bool"),
        *coefficients,
        _empty(slope, dtype),
        _empty(offset, dtype),
        activation=activation,
        **_layout(layout),
    )


def group_norm(x, gamma, beta, groups, epsilon, activation, layout):
    """y, and mean, residual, rstd and variance of each row and group."""
    dtype = statistics_dtype(x.dtype)
    return load().keras_norms_group_norm(
        x,
        _empty(gamma, dtype),
        _empty(beta, dtype),
        groups=layout.channels if groups == -1 else groups,
        epsilon=repr(float(epsilon)),
        activation=activation,
        **_layout(layout),
    )


def depthwise(x, kernel, shift, window):
    """The depthwise convolution, by one read of x and one write.

    Args:
        x: a tensor with the channels last.
        kernel: `[positions of a window, channels]`.
        shift: `[batch, channels]`, or `None`.
        window: the odd number of positions along each axis.
    """
    return load().keras_norms_depthwise(
        x,
        kernel,
        _empty(shift, kernel.dtype),
        axis=len(x.shape) - 1,
        window=window,
    )


def depthwise_gradient(x, dy, kernel, window):
    """The gradients of x, kernel and shift, by one read of x and of dy."""
    return load().keras_norms_depthwise_gradient(
        x, dy, kernel, axis=len(x.shape) - 1, window=window
    )


def group_norm_gradient(
    x,
    dy,
    gamma,
    beta,
    mean,
    residual,
    rstd,
    groups,
    epsilon,
    activation,
    layout,
):
    """The gradients of x, gamma and beta."""
    dtype = statistics_dtype(x.dtype)
    return load().keras_norms_group_norm_gradient(
        x,
        dy,
        _empty(gamma, dtype),
        _empty(beta, dtype),
        mean,
        residual,
        rstd,
        groups=layout.channels if groups == -1 else groups,
        epsilon=repr(float(epsilon)),
        activation=activation,
        **_layout(layout),
    )
