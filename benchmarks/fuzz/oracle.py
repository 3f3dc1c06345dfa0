"""The expected results of a case: y, gradients and state, with noise."""

import dataclasses

import numpy as np
import tensorflow as tf

from benchmarks.fuzz import arrays as arrays_of
from benchmarks.fuzz import calibrated
from benchmarks.fuzz import methods
from benchmarks.fuzz import unified
from benchmarks.fuzz.noise import GAIN
from benchmarks.fuzz.noise import Noise
from benchmarks.fuzz.running import state_after
from benchmarks.fuzz.statistics import Statistics

METHODS = {
    "GroupNormalization": methods.GroupNormalization,
    "InstanceNormalization": methods.GroupNormalization,
    "FilterResponseNormalization": methods.FilterResponseNormalization,
    "BatchGroupNormalization": methods.BatchGroupNormalization,
    "BatchInstanceNormalization": methods.BatchInstanceNormalization,
    "SwitchableNormalization": methods.SwitchableNormalization,
    "DynamicNormalization": methods.DynamicNormalization,
    "RepresentativeBatchNormalization": calibrated.CalibratedNormalization,
    "InstanceEnhancementBatchNormalization": (
        calibrated.CalibratedNormalization
    ),
    "UnifiedBatchNormalization": unified.UnifiedBatchNormalization,
}
KINKED = ("relu", "leaky_relu", "elu")


@dataclasses.dataclass
class Expected:
    values: dict[str, np.ndarray]  # by name: samples of y, dx, weights, state
    skipped: dict[str, str]  # names that cannot be compared, and why
    gain: float = 1.0  # the factor by which the noise is too large


def activate(name, t):
    """An activation by its formula."""
    if name == "silu":
        return t * tf.sigmoid(t)
    if name == "gelu":
        return 0.5 * t * (1.0 + tf.math.erf(t / np.sqrt(2.0)))
    if name == "leaky_relu":
        return tf.where(t > 0, t, 0.2 * t)
    if name == "elu":
        return tf.where(t > 0, t, tf.math.expm1(tf.minimum(t, 0.0)))
    known = {
        "relu": tf.nn.relu,
        "sigmoid": tf.sigmoid,
        "tanh": tf.tanh,
        None: tf.identity,
    }
    return known[name](t)


def positions(array, axis):
    """Reshapes inputs with any channel axis to [N, S, C]."""
    array = np.moveaxis(array, axis, -1)
    size = int(np.prod(array.shape[1:-1]))
    return array.reshape(array.shape[0], size, array.shape[-1])


def rounding(case):
    """Half a unit in the last place of the dtype of the computation."""
    return 2.0**-53 if case.dtype == "float64" else 2.0**-24


def expected(case, arrays, weights, dy):
    """The expected results for the arrays, weights by name, and dy."""
    axis = case.axis % len(case.shape)
    gain = GAIN if case.dtype == "float64" else 1.0
    noise = Noise(case.seed, rounding(case), gain)
    x = positions(tf.cast(arrays.x, "float64").numpy(), axis)
    mask = np.ones((*x.shape[:2], 1))
    if arrays.mask is not None:
        full = arrays_of.spread(arrays.mask, case.shape, axis)
        mask = positions(full, axis)[:, :, :1] * 1.0
        x = np.where((mask > 0) | np.isfinite(x), x, 0.0)
    x = noise.repeated(x)
    # Weights are cast to the dtype of the statistics.
    dtype = "float64" if case.dtype == "float64" else "float32"
    w = {n: noise.repeated(v.astype(dtype)) for n, v in weights.items()}
    trainable = [n for n in w if not is_state(n)]
    method = METHODS.get(case.layer, methods.Method)
    with tf.GradientTape() as tape:
        tape.watch([x, *(w[name] for name in trainable)])
        s = Statistics(x, mask, noise, case.epsilon)
        m = method(case, s, w, noise)
        linear = m.run()
        name = case.arguments.get("activation")
        y = activate(name, linear)
        if name is not None:
            # Exponentials have errors of a few roundings.
            y = noise.slope(linear, y, 4.0 * (1.0 + tf.abs(linear)))
    dy = noise(noise.repeated(positions(dy, axis)))
    sources = [x, *(w[name] for name in trainable)]
    dx, *dw = tape.gradient(y, sources, dy, unconnected_gradients="zero")
    # TensorFlow computes elu as a difference from 1.
    size = (1.0 if name is None else 4.0) * tf.abs(linear)
    size = size + float(name == "elu")
    y = y + noise.relative(y.shape) * size
    # The gradient of a non-finite value is not specified.
    dx = tf.where(tf.math.is_finite(x), dx, float("nan"))
    values = {"y": y, "dx": noise(dx)}
    finite = tf.reduce_all(tf.math.is_finite(y), axis=(0, 1, 2))
    for weight, gradient in zip(trainable, dw, strict=True):
        # A gradient is not specified if an output is not finite.
        specified = finite if gradient.shape[1:] == finite.shape else None
        if specified is None or weight.endswith(("kernel", "bias", "logits")):
            specified = tf.reduce_all(finite)
        gradient = tf.where(specified, noise(gradient), float("nan"))
        values[f"d {weight}"] = gradient
    skipped = {}
    if "moving_mean" in w:
        state, skipped = state_after(case, m)
        values |= state
    values = {name: np.asarray(value) for name, value in values.items()}
    if name in KINKED and _at_kink(linear, gain):
        reason = "an activation is read at its kink"
        skipped |= dict.fromkeys(["dx", *_gradients(trainable)], reason)
    runs = case.arguments.get("bound", -1) != -1
    both = case.training.startswith("tensor") or (case.trains and runs)
    if both and (case.bad or not case.epsilon):
        reason = "training and inference are both differentiated"
        skipped |= dict.fromkeys(["dx", *_gradients(trainable)], reason)
    return Expected(values, skipped, gain)


def _gradients(names):
    return [f"d {name}" for name in names]


def _at_kink(linear, gain):
    linear = linear.numpy()
    if not linear.size:
        return False
    with np.errstate(invalid="ignore"):
        away = np.abs(linear - linear[:1]).max(axis=(0, 2), keepdims=True)
        # Empty rows are exactly 0 in every sample.
        near = np.abs(linear[:1]) <= 64 * away / gain
        return bool((near & (away > 0)).any())


def is_state(name):
    return name in (
        *("moving_mean", "moving_variance", "moving_stddev"),
        *("renorm_mean", "renorm_stddev"),
        "similarity",
    )
