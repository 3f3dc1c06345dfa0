"""The arrays of a case: input, upstream gradient, mask, weights."""

import dataclasses

import numpy as np
import tensorflow as tf

LIMITS = {"int8": 127, "uint8": 255, "int32": 1e6, "int64": 1e6}


@dataclasses.dataclass
class Arrays:
    x: tf.Tensor
    dy: np.ndarray  # float64; `layers.actual` casts it to the dtype of y
    mask: np.ndarray | None
    centers: np.ndarray  # the mean of the distribution of each channel
    rng: np.random.Generator  # for weights, in the order of their creation


def draw(case):
    """Draws the arrays of a case, which depend on its seed only."""
    rng = np.random.default_rng([case.seed, 1])
    axis = case.axis % len(case.shape)
    x = rng.normal(size=case.shape)
    along_channels = [1] * len(case.shape)
    along_channels[axis] = -1
    step = rng.uniform(0.5, 2, case.channels).reshape(along_channels)
    if case.values == "outliers":
        x = x * np.exp(3 * rng.normal(size=case.shape))
    elif case.values == "constant":
        x = 0.0 * x
    elif case.values == "constant channel":
        varying = np.arange(case.channels).reshape(along_channels) > 0
        x = x * varying
    elif case.values == "shifted":
        rows = [case.shape[0]] + [1] * (len(case.shape) - 1)
        rows[axis] = case.channels
        x = x + 5 * rng.normal(size=rows)
    sign = rng.choice([-1.0, 1.0], case.channels).reshape(along_channels)
    centers = case.scale * case.mean * sign
    x = case.scale * x * step + centers
    if case.values == "constant":
        x = x + case.scale * rng.normal()
    mask = _mask(case, rng, axis)
    x = _not_finite(case, rng, x, mask, axis)
    if case.dtype in LIMITS:
        low = 0 if case.dtype == "uint8" else -LIMITS[case.dtype]
        x = np.clip(np.round(x), low, LIMITS[case.dtype])
    with np.errstate(over="ignore", invalid="ignore"):
        x = tf.cast(tf.constant(x), case.dtype)
    dy = rng.normal(size=case.shape)
    return Arrays(x, dy, mask, centers.ravel(), rng)


def _mask(case, rng, axis):
    if case.mask is None:
        return None
    sizes = [s for a, s in enumerate(case.shape) if a != axis]
    sizes = sizes[: case.mask_rank]
    if fits_channels(sizes, case.shape, axis):
        sizes = sizes[:-1]
    mask = rng.random(sizes) < 0.7
    if case.mask == "none true":
        mask[...] = False
    elif case.mask == "empty examples" and sizes[0]:
        mask[rng.random(sizes[0]) < 0.5] = False
    return mask


def fits_channels(sizes, shape, axis):
    """Whether a mask can also be read as Keras's, which covers the channels.

    Keras's reading wins then. tests/conformance/test_channel_masks.py tests
    them.
    """
    if axis == len(shape) - 1 or len(sizes) != len(shape) - 1:
        return False
    pairs = zip(sizes, shape, strict=False)
    fits = all(have in (1, want) for have, want in pairs)
    return fits and sizes[axis] == shape[axis]


def spread(mask, shape, axis):
    """The mask in the shape of x."""
    sizes = [s for a, s in enumerate(shape) if a != axis]
    mask = mask.reshape(mask.shape + (1,) * (len(sizes) - mask.ndim))
    mask = np.expand_dims(np.broadcast_to(mask, sizes), axis)
    return np.broadcast_to(mask, shape)


def _not_finite(case, rng, x, mask, axis):
    kinds = np.array([np.nan, np.inf, -np.inf])
    values = kinds[rng.integers(0, 3, x.shape)]
    if case.bad == "masked" and mask is not None:
        return np.where(spread(mask, x.shape, axis), x, values)
    if case.bad == "channel" and x.size:
        x = x.copy()
        channel = np.moveaxis(x, axis, 0)[0]
        channel[rng.random(channel.shape) < 0.5] = kinds[rng.integers(0, 3)]
    return x


def weight(case, arrays, variable):
    """Draws a value for a weight of a layer, by its name."""
    name, shape, rng = variable.name, tuple(variable.shape), arrays.rng
    if name in ("moving_mean", "renorm_mean"):
        return arrays.centers + case.scale * rng.normal(size=shape)
    if name == "moving_variance":
        return case.scale**2 * rng.uniform(0.2, 3, shape)
    if name in ("renorm_stddev", "moving_stddev"):
        return case.scale * rng.uniform(0.4, 2, shape)
    if name == "similarity":
        return np.asarray(rng.uniform(-1, 1))
    if name == "rho":
        return rng.uniform(0, 1, shape)
    if name.endswith("hidden_kernel"):
        size = case.scale * (1 + case.mean)
        return rng.normal(size=shape) / size / shape[0] ** 0.5
    enhanced = case.layer == "InstanceEnhancementBatchNormalization"
    if name == "scale_weight" and enhanced:
        return rng.normal(size=shape) / case.scale / (1 + case.mean)
    if name == "epsilon_weight":
        return 1e-2 * rng.normal(size=shape)
    return rng.normal(size=shape)
