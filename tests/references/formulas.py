"""The formulas of the papers in float64, over explicit axes.

`xp` is numpy, which computes values, or TensorFlow's numpy, whose tape
computes gradients. x has the shape `[N, S, C]`, `mask` holds ones and zeros of
the shape `[N, S, 1]`, and `w` holds the weights by name.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from tests.references.convolution import convolution

EPSILON = 1e-3
OVER_BATCH, OVER_EXAMPLE, OVER_LAYER = (0, 1), (1,), (1, 2)


@dataclasses.dataclass
class Inputs:
    xp: Any
    x: Any
    mask: Any
    w: dict[str, Any]
    options: dict[str, Any]
    shape: Any = None
    running: Any = None

    def mean(self, values, axes):
        """The mean over unmasked positions, or 0 if there are none."""
        mask = self.mask + 0.0 * values
        count = self.xp.sum(mask, axis=axes, keepdims=True)
        total = self.xp.sum(values * self.mask, axis=axes, keepdims=True)
        return total / self.xp.maximum(count, 1.0)

    def moments(self, axes, values=None):
        values = self.x if values is None else values
        mean = self.mean(values, axes)
        return mean, self.mean((values - mean) ** 2, axes)

    def batch(self, values=None):
        return self.running or self.moments(OVER_BATCH, values)

    def sigmoid(self, values):
        return 1.0 / (1.0 + self.xp.exp(-values))

    def softmax(self, values):
        powers = self.xp.exp(values)
        return powers / self.xp.sum(powers)

    def standardized(self, mean, variance, values=None):
        values = self.x if values is None else values
        return (values - mean) / self.xp.sqrt(variance + EPSILON)


def centered(i):
    if "center_weight" not in i.w:
        return i.x
    return i.x + i.w["center_weight"] * i.mean(i.x, OVER_EXAMPLE)


def representative(i):
    x = centered(i)
    xhat = i.standardized(*i.batch(x), x)
    if "scale_weight" in i.w:
        mean = i.mean(xhat, OVER_EXAMPLE)
        gate = i.sigmoid(i.w["scale_weight"] * mean + i.w["scale_bias"])
        xhat = gate * xhat
    return i.w["gamma"] * xhat + i.w["beta"]


def instance_enhancement(i):
    x = centered(i)
    mean = i.mean(i.x, OVER_EXAMPLE)
    gate = i.sigmoid(i.w["scale_weight"] * mean + i.w["scale_bias"])
    xhat = i.standardized(*i.batch(x), x)
    return i.w["gamma"] * gate * xhat + i.w["beta"]


def unified(i):
    """While the similarity is above the bound."""
    x = centered(i)
    z = i.standardized(*i.batch(x), x)
    if "kernel" in i.w:
        shaped = i.xp.reshape(z * i.mask, i.shape)
        y = convolution(i.xp, shaped, i.w["kernel"])
        y = i.xp.reshape(y, z.shape) + i.w["bias"]
    else:
        y = i.w["gamma"] * z + i.w["beta"]
    if "scale_weight" in i.w:
        mean = i.mean(z, OVER_EXAMPLE)
        y = y * i.sigmoid(i.w["scale_weight"] * mean + i.w["scale_bias"])
    return y


def dynamic(i):
    mean, variance = i.batch()
    if i.options.get("scope") == "batch":
        source = mean, variance
    else:
        source = i.moments(OVER_EXAMPLE)
    xp = i.xp
    means = xp.reshape(source[0], (-1, i.x.shape[2]))
    deviations = xp.reshape(xp.sqrt(source[1] + EPSILON), means.shape)

    def module(inputs, prefix=""):
        kernel, bias, kernel2, bias2 = (
            i.w[prefix + name]
            for name in (
                "hidden_kernel",
                "hidden_bias",
                "output_kernel",
                "output_bias",
            )
        )
        hidden = xp.maximum(xp.matmul(inputs, kernel) + bias, 0.0)
        return xp.matmul(hidden, kernel2) + bias2

    if i.options.get("separate"):
        dgamma, dbeta = module(deviations, "scale_"), module(means, "shift_")
    else:
        both = module(xp.concatenate([means, deviations], axis=1))
        dgamma, dbeta = both[:, : i.x.shape[2]], both[:, i.x.shape[2] :]
    xhat = i.standardized(mean, variance)
    gamma = i.w["gamma"] + dgamma[:, None]
    return gamma * xhat + i.w["beta"] + dbeta[:, None]


def switchable(i):
    methods = [i.moments(OVER_EXAMPLE), i.moments(OVER_LAYER), i.batch()]
    # Inputs of rank 2 have two logits, for layer and batch statistics.
    methods = methods[-len(i.w["mean_logits"]) :]
    mean, variance = (
        sum(share[k] * moments[which] for k, moments in enumerate(methods))
        for which, share in enumerate(
            i.softmax(i.w[name]) for name in ("mean_logits", "variance_logits")
        )
    )
    return i.w["gamma"] * i.standardized(mean, variance) + i.w["beta"]


def batch_instance(i):
    rho = i.w["rho"]
    instance = i.standardized(*i.moments(OVER_EXAMPLE))
    present = i.xp.sum(i.mask, axis=1, keepdims=True) > 0
    instance = i.xp.where(present, instance, 0.0 * i.x)
    xhat = rho * i.standardized(*i.batch()) + (1 - rho) * instance
    return i.w["gamma"] * xhat + i.w["beta"]


def filter_response(i):
    epsilon = EPSILON
    if "epsilon_weight" in i.w:
        epsilon = epsilon + abs(i.w["epsilon_weight"])
    square = i.mean(i.x**2, OVER_EXAMPLE)
    y = i.w["gamma"] * i.x / i.xp.sqrt(square + epsilon) + i.w["beta"]
    present = i.xp.sum(i.mask, axis=1, keepdims=True) > 0
    return i.xp.where(present, y, 0.0 * y)


def positions(x, axis):
    """Reshapes inputs with any channel axis to [N, S, C]."""
    x = np.moveaxis(np.asarray(x).astype("float64"), axis, -1)
    return x.reshape(x.shape[0], -1, x.shape[-1]), x.shape


def _inputs(xp, x, w, axis, mask, **more):
    x, shape = positions(x, axis)
    column = (*x.shape[:2], 1)
    if mask is None:
        mask = np.ones(column)
    else:
        mask = np.asarray(mask, "float64")
        mask = mask.reshape(mask.shape + (1,) * (len(shape) - 1 - mask.ndim))
        mask = np.broadcast_to(mask, shape[:-1]).reshape(column)
    w = {name: np.asarray(value, "float64") for name, value in w.items()}
    return Inputs(xp, x, mask, w, shape=shape, **more), shape


def values(formula, x, w, axis, options, mask=None, running=None):
    """Returns y, by numpy."""
    i, shape = _inputs(np, x, w, axis, mask, options=options, running=running)
    return np.moveaxis(formula(i).reshape(shape), -1, axis)


def gradients(formula, x, dy, w, axis, options, mask=None):
    """Returns dx and the gradients of the weights, by name."""
    i, shape = _inputs(tnp, x, w, axis, mask, options=options)
    i.x = tf.constant(i.x)
    i.w = {name: tf.constant(value) for name, value in i.w.items()}
    with tf.GradientTape() as tape:
        tape.watch([i.x, i.w])
        y = formula(i)
    dy = tf.constant(positions(dy, axis)[0])
    dx, dw = tape.gradient(y, [i.x, i.w], dy, unconnected_gradients="zero")
    dx = np.moveaxis(dx.numpy().reshape(shape), -1, axis)
    return {"dx": dx, **{name: g.numpy() for name, g in dw.items()}}


def running_target(x, w, axis, mask=None):
    """The target of the running statistics: moments of calibrated inputs.

    The variance is biased.
    """
    i, _ = _inputs(np, x, w, axis, mask, options={})
    mean, variance = i.moments(OVER_BATCH, centered(i))
    return mean.ravel(), variance.ravel()
