"""What the kernels compute, in float64, from the definitions.

x is [rows, outer, channels, inner] and coefficients are [rows, channels];
`mask` is [rows, outer, inner], or None. Most functions return pairs: the
expected value, which is a sum, and the sum of the absolute values of its
terms, because rounding errors are in proportion to it.
"""

import math

import numpy as np

from tf_ops.contract import definitions

EVERY = (1, 3)  # the axes of a row's positions

# What definitions of activations may use besides z.
_FUNCTIONS = {
    name: getattr(np, name) for name in ("exp", "fmax", "fmin", "tanh")
}
_FUNCTIONS["erfc"] = np.vectorize(math.erfc, otypes=[float])


def activation(name, z):
    return _evaluated(definitions.activations()[name].definition, z)


def slope(name, z):
    return _evaluated(definitions.activations()[name].derivative, z)


def _evaluated(expression, z):
    with np.errstate(over="ignore"):
        return eval(expression, {"z": z, **_FUNCTIONS})


def read(x, mask):
    """x, but 0 where it is masked and not finite."""
    if mask is None:
        return x
    return np.where(mask[:, :, None] | np.isfinite(x), x, 0)


def moments(x, mask):
    """Count, mean and variance."""
    if mask is None:
        mask = np.ones((*x.shape[:2], x.shape[3]), bool)
    weight = np.broadcast_to(mask[:, :, None], x.shape)
    x = np.where(weight, x, 0)
    n = np.maximum(weight.sum(EVERY), 1)
    mean = x.sum(EVERY) / n
    deviation = np.where(weight, x - mean[:, None, :, None], 0)
    return mask.sum((1, 2)), mean, (deviation**2).sum(EVERY) / n


class Affine:
    """z = (x - center) scale + shift; `size` is z's."""

    def __init__(self, x, center, scale, shift):
        coefficients = (center, scale, shift)
        center, self.scale, shift = (t[:, None, :, None] for t in coefficients)
        self.centered = x - center
        self.z = self.centered * self.scale + shift
        self.size = np.abs(self.centered * self.scale) + np.abs(shift)


def gradient_sums(affine, g):
    """The sums of g and of g (x - center), g before the activation."""
    along = g * affine.centered
    size = (np.abs(g) + np.abs(along)).sum(EVERY)
    return (g.sum(EVERY), size), (along.sum(EVERY), size)


def gradient_combine(affine, g, slope, offset, mask):
    terms = [g * affine.scale]
    if slope is not None:
        through = 1 if mask is None else mask[:, :, None]
        slope, offset = slope[:, None, :, None], offset[:, None, :, None]
        terms += [affine.centered * slope * through, offset * through]
    return sum(terms), sum(map(np.abs, terms))


class GroupNorm:
    """A group norm: mean, variance and rstd are [rows, groups]."""

    def __init__(self, x, groups, epsilon, gamma, beta):
        rows, outer, channels, inner = x.shape
        self.size = channels // groups
        self.count = self.size * outer * inner
        grouped = x.reshape(rows, outer, groups, self.size, inner)
        n = max(self.count, 1)
        self.mean = grouped.sum((1, 3, 4)) / n
        deviation = grouped - self.mean[:, None, :, None, None]
        self.variance = (deviation**2).sum((1, 3, 4)) / n
        self.rstd = 1 / np.sqrt(self.variance + epsilon)
        self.over = self.each(self.rstd)
        self.hat = (x - self.each(self.mean)) * self.over
        self.gamma = gamma[:, None]
        self.z = self.hat * self.gamma + beta[:, None]
        self.sizes = np.abs(self.hat * self.gamma) + np.abs(beta[:, None])

    def each(self, table):
        """[rows, groups] for every channel."""
        return np.repeat(table, self.size, 1)[:, None, :, None]

    def pooled(self, values):
        """The groups' means of [rows, outer, channels, inner], for each."""
        sums = values.sum(EVERY).reshape(len(values), -1, self.size).sum(2)
        return self.each(sums / max(self.count, 1))

    def gradient(self, g):
        """dx, d gamma and d beta."""
        along = g * self.hat
        h = g * self.gamma
        dx = h - self.pooled(h) - self.hat * self.pooled(h * self.hat)
        size = np.abs(self.hat) * self.pooled(np.abs(h * self.hat))
        size += np.abs(h) + self.pooled(np.abs(h))
        all_but_channels = (0, *EVERY)
        total = (np.abs(g) + np.abs(along)).sum(all_but_channels)
        return (
            (dx * self.over, size * self.over),
            (along.sum(all_but_channels), total),
            (g.sum(all_but_channels), total),
        )
