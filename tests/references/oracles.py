"""Normalization in float64 numpy, from formulas and explicit axes.

Every element of x has a label, the index of its statistic. All results follow
from sums over labels.
"""

import dataclasses

import numpy as np


def labels(shape, axis, examples, groups):
    """The label of each element: its block of examples and its group."""
    index = np.indices(shape)
    example, channel = index[0], index[axis]
    block = example * 0 if examples is None else example // examples
    group = channel // (shape[axis] // groups)
    return block * groups + group


@dataclasses.dataclass
class Result:
    y: np.ndarray
    dx: np.ndarray
    dgamma: np.ndarray
    dbeta: np.ndarray


def normalize(
    x, dy, gamma, beta, axis, examples, groups, epsilon=1e-3, mask=None
):
    """Returns output and gradients of a normalization in training."""
    x, dy, gamma, beta = (
        np.asarray(a).astype("float64") for a in (x, dy, gamma, beta)
    )
    axis %= x.ndim
    label = labels(x.shape, axis, examples, groups)
    count_labels = label.max() + 1
    mask = np.ones(x.shape) if mask is None else spread(mask, x.shape, axis)

    def sums(values):
        return np.bincount(
            label.ravel(), (values * mask).ravel(), count_labels
        )

    n = sums(np.ones(x.shape))
    safe = np.maximum(n, 1)
    center = x - (sums(x) / safe)[label]
    center -= (sums(center) / safe)[label]
    rstd = (1 / np.sqrt(sums(center**2) / safe + epsilon))[label]
    present = (n > 0)[label]
    shape = [1] * x.ndim
    shape[axis] = -1
    gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    xhat = center * rstd * present
    dy = dy * present
    # The output of a masked element depends on the statistics, but the
    # statistics do not depend on a masked element.
    g = dy * gamma
    total = np.bincount(label.ravel(), g.ravel(), count_labels)
    product = np.bincount(label.ravel(), (g * xhat).ravel(), count_labels)
    through = (total / safe)[label] + xhat * (product / safe)[label]
    others = tuple(a for a in range(x.ndim) if a != axis)
    return Result(
        xhat * gamma + beta * present,
        rstd * (g - through * mask) * present,
        (dy * xhat).sum(others),
        dy.sum(others),
    )


def spread(mask, shape, axis):
    """Broadcasts a mask over leading axes to ones and zeros like x."""
    sizes = [size for a, size in enumerate(shape) if a != axis]
    mask = np.asarray(mask, "float64")
    mask = mask.reshape(mask.shape + (1,) * (len(sizes) - mask.ndim))
    mask = np.broadcast_to(mask, sizes)
    return np.broadcast_to(np.expand_dims(mask, axis), shape)


def moments(x, axis, mask=None):
    """Mean and biased variance of each channel over unmasked positions."""
    x = np.moveaxis(np.asarray(x).astype("float64"), axis, -1)
    if mask is None:
        values = x.reshape(-1, x.shape[-1])
    else:
        valid = spread(mask, x.shape, x.ndim - 1).astype(bool)
        values = x[valid].reshape(-1, x.shape[-1])
    return values.mean(0), values.var(0)
