"""The native library's operations: what tf_ops/tensorflow/ops.cc declares."""

import functools

import keras
import tensorflow as tf

from keras_norms.engine.gelu_tanh import gelu_tanh
from keras_norms.native.loader import load


def activation(function):
    """The library's name of an activation, None where it has none."""
    if function is None:
        return "identity"
    try:
        return _activations().get(function)
    except TypeError:  # not hashable, so none of these
        return None


@functools.cache
def _activations():
    of_keras = keras.activations
    return {
        of_keras.linear: "identity",
        of_keras.relu: "relu",
        tf.nn.relu: "relu",
        of_keras.silu: "silu",
        tf.nn.silu: "silu",
        of_keras.gelu: "gelu",
        of_keras.leaky_relu: "leaky_relu",
        tf.nn.leaky_relu: "leaky_relu",
        of_keras.sigmoid: "sigmoid",
        tf.nn.sigmoid: "sigmoid",
        of_keras.tanh: "tanh",
        tf.nn.tanh: "tanh",
        gelu_tanh: "gelu_tanh",
    }


def _empty(mask, dtype):
    return tf.zeros([0], dtype) if mask is None else mask


def _layout(layout):
    examples = layout.requested_examples
    return {
        "axis": layout.axis,
        "examples": -1 if examples is None else examples,
    }


def moments(x, mask, layout):
    """Count, mean, variance and residual: one read of x."""
    return load().keras_norms_moments(
        x, _empty(mask, "bool"), S=_statistics_dtype(x), **_layout(layout)
    )


def apply(x, mask, coefficients, activation, layout):
    """The line, and an activation: one read of x, one write."""
    return load().keras_norms_apply(
        x,
        _empty(mask, "bool"),
        *coefficients,
        activation=activation,
        **_layout(layout),
    )


def gradient_sums(x, dy, mask, coefficients, activation, layout):
    """Sums of dy' and of dy' (x - center): one read of x and of dy."""
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
    """dx: one read of x and of dy, one write."""
    dtype = _statistics_dtype(x)
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


def group_norm(x, gamma, beta, groups, epsilon, activation, axis):
    """y, and the moments of groups: an example's are read from the cache."""
    dtype = _statistics_dtype(x)
    return load().keras_norms_group_norm(
        x,
        _empty(gamma, dtype),
        _empty(beta, dtype),
        groups=x.shape[axis] if groups == -1 else groups,
        epsilon=repr(float(epsilon)),
        activation=activation,
        axis=axis,
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
    axis,
):
    """dx, d gamma and d beta."""
    dtype = _statistics_dtype(x)
    return load().keras_norms_group_norm_gradient(
        x,
        dy,
        _empty(gamma, dtype),
        _empty(beta, dtype),
        mean,
        residual,
        rstd,
        groups=x.shape[axis] if groups == -1 else groups,
        epsilon=repr(float(epsilon)),
        activation=activation,
        axis=axis,
    )


def _statistics_dtype(x):
    return tf.float64 if x.dtype == tf.float64 else tf.float32
