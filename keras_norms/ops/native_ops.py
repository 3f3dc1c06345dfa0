"""The native library's operations: what tf_ops/contract declares."""

import functools
import runpy

import keras
import tensorflow as tf

from keras_norms import library
from keras_norms.library import cache
from keras_norms.ops.gelu_tanh import gelu_tanh


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
    examples = layout.asked
    return {
        "axis": layout.axis,
        "examples": -1 if examples is None else examples,
    }


def moments(x, mask, layout):
    """Count, mean, variance and residual: one read of x."""
    return library.load().keras_norms_moments(
        x, _empty(mask, "bool"), S=_tables(x), **_layout(layout)
    )


def apply(x, mask, tables, activation, layout):
    """The line, and an activation: one read of x, one write."""
    return library.load().keras_norms_apply(
        x,
        _empty(mask, "bool"),
        *tables,
        activation=activation,
        **_layout(layout),
    )


def gradient_sums(x, dy, mask, tables, activation, layout):
    """Sums of dy' and of dy' (x - center): one read of x and of dy."""
    return library.load().keras_norms_gradient_sums(
        x,
        dy,
        _empty(mask, "bool"),
        *tables,
        activation=activation,
        **_layout(layout),
    )


def gradient_combine(x, dy, mask, tables, activation, layout, b, d):
    """dx: one read of x and of dy, one write."""
    dtype = tables.scale.dtype
    return library.load().keras_norms_gradient_combine(
        x,
        dy,
        _empty(mask, "bool"),
        *tables,
        _empty(b, dtype),
        _empty(d, dtype),
        activation=activation,
        **_layout(layout),
    )


def group_norm(x, gamma, beta, groups, epsilon, activation, axis):
    """y, and the moments of groups: an example's are read from the cache."""
    dtype = _tables(x)
    return library.load().keras_norms_group_norm(
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
    inverse,
    groups,
    epsilon,
    activation,
    axis,
):
    """dx, d gamma and d beta."""
    dtype = _tables(x)
    return library.load().keras_norms_group_norm_gradient(
        x,
        dy,
        _empty(gamma, dtype),
        _empty(beta, dtype),
        mean,
        residual,
        inverse,
        groups=x.shape[axis] if groups == -1 else groups,
        epsilon=repr(float(epsilon)),
        activation=activation,
        axis=axis,
    )


def _tables(x):
    return tf.float64 if x.dtype == tf.float64 else tf.float32
