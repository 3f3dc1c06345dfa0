"""Oracles of weight standardization and the thresholded linear unit."""

import keras
import numpy as np
import tensorflow as tf

import keras_norms
from benchmarks.fuzz import oracle
from benchmarks.fuzz.noise import GAIN
from benchmarks.fuzz.noise import Noise

ACTUAL = ("ThresholdedLinearUnit", "WeightStandardization")
WRAPPED = ("Dense", "Conv1D", "Conv2D", "Conv2DTranspose", "DepthwiseConv2D")


def run(case, arrays):
    """The actual and the expected results of a companion layer."""
    mode = "auto" if case.native else "never"
    with keras_norms.ops.using_native(mode):
        if case.layer == "ThresholdedLinearUnit":
            return _threshold(case, arrays)
        return _standardize(case, arrays)


def _threshold(case, arrays):
    layer = keras_norms.layers.ThresholdedLinearUnit(
        axis=case.axis, dtype=case.policy
    )
    layer.build(case.shape)
    layer.tau.assign(case.scale * arrays.rng.normal(size=case.channels))
    # Keras casts inputs and, in mixed precision, weights.
    compute = layer.compute_dtype
    dy = tf.cast(tf.constant(arrays.dy), compute)
    with tf.GradientTape() as tape:
        if arrays.x.dtype.is_floating:
            tape.watch(arrays.x)
        y = layer(arrays.x)
    # TensorFlow warns about gradients of integers.
    floating = arrays.x.dtype.is_floating
    source = arrays.x if floating else dy, layer.tau.value
    dx, dtau = tape.gradient(y, source, dy, unconnected_gradients="zero")
    actual = {"y": y, "dx": dx, "d tau": dtau}
    if not floating:
        del actual["dx"]
    x = tf.cast(tf.cast(arrays.x, compute), "float64").numpy()
    x = oracle.positions(x, case.axis)
    tau = tf.cast(tf.cast(layer.tau.value, compute), "float64").numpy()
    dy = oracle.positions(tf.cast(dy, "float64").numpy(), case.axis)
    above = x > tau
    # TensorFlow sums gradients in 16 bits in that dtype.
    gain, unit = 1.0, limits_of(compute) / 2
    if compute == "float64":
        gain, unit = GAIN, 2.0**-53
    noise = Noise(case.seed, unit, gain)
    terms = noise(noise.repeated(np.where(above, 0.0, dy)))
    size = tf.reduce_sum(tf.abs(terms), (1, 2))
    dtau = tf.reduce_sum(terms, (1, 2)) + noise.relative(size.shape) * size
    values = {
        "y": noise.repeated(np.maximum(x, tau)),
        "dx": noise.repeated(np.where(above, dy, 0.0)),
        "d tau": dtau.numpy(),
    }
    skipped = {}
    if (x == tau).any():
        skipped = dict.fromkeys(("dx", "d tau"), "a tie with the threshold")
    values = {name: np.asarray(value) for name, value in values.items()}
    return actual, oracle.Expected(values, skipped, gain)


def limits_of(dtype):
    return {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(dtype, 2.0**-23)


def _standardize(case, arrays):
    """The standardized kernel of the wrapped layer, and its gradient."""
    rng = arrays.rng
    kind = WRAPPED[int(rng.integers(len(WRAPPED)))]
    size, inputs = int(rng.integers(1, 4)), int(rng.integers(1, 9))
    outputs = int(rng.integers(1, 9))
    arguments = {"use_bias": False, "dtype": case.policy}
    if kind == "Dense":
        wrapped, shape = keras.layers.Dense(outputs, **arguments), (2, inputs)
    elif kind == "DepthwiseConv2D":
        wrapped = keras.layers.DepthwiseConv2D(size, **arguments)
        shape = (2, 5, 5, inputs)
    else:
        wrapped = getattr(keras.layers, kind)(outputs, size, **arguments)
        shape = (2, *[5] * (1 if kind == "Conv1D" else 2), inputs)
    layer = keras_norms.layers.WeightStandardization(wrapped, **case.arguments)
    layer.build(shape)
    kernel = rng.normal(size=wrapped.kernel.shape)
    if case.values == "constant":
        kernel = 0.0 * kernel
    kernel = case.scale * (kernel + case.mean)
    wrapped.kernel.assign(kernel)
    value = wrapped.kernel.value
    with tf.GradientTape() as tape:
        tape.watch(value)
        wrapped.kernel  # noqa: B018  reading it selects the kernel
        standardized = layer._standardized(value)
    upstream = rng.normal(size=wrapped.kernel.shape)
    upstream = tf.cast(tf.constant(upstream), standardized.dtype)
    gradient = tape.gradient(standardized, value, upstream)
    actual = {"w": standardized, "d w": gradient}
    axis = -2 if "Transpose" in kind else -1

    def flat(array):
        array = np.asarray(tf.cast(array, "float64"))
        if kind == "DepthwiseConv2D":
            array = array.reshape(*array.shape[:-2], -1)
        return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])

    wide = layer.variable_dtype == "float64"
    gain = GAIN if wide else 1.0
    noise = Noise(case.seed, 2.0**-53 if wide else 2.0**-24, gain)
    w, g = noise.repeated(flat(value)), noise(noise.repeated(flat(upstream)))
    with tf.GradientTape() as tape:
        tape.watch(w)
        centered = w - tf.stop_gradient(tf.reduce_mean(w, 1, keepdims=True))
        centered = noise(centered)
        mean = noise(tf.reduce_mean(centered, 1, keepdims=True))
        size = tf.reduce_mean(
            tf.abs(tf.stop_gradient(centered)), 1, keepdims=True
        )
        mean += noise.relative(size.shape) * tf.stop_gradient(size)
        centered = noise(centered - mean)
        variance = tf.reduce_mean(noise(tf.square(centered)), 1, keepdims=True)
        deviation = tf.sqrt(tf.maximum(noise(variance), 1e-30))
        scale = noise(1.0 / noise(deviation + layer.epsilon))
        result = noise(centered * scale)
    gradient = noise(tape.gradient(result, w, g))
    actual = {name: flat(have) for name, have in actual.items()}
    dtype = standardized.dtype
    actual = {n: tf.cast(v, dtype) for n, v in actual.items()}
    values = {"w": result.numpy(), "d w": gradient.numpy()}
    return actual, oracle.Expected(values, {}, gain)
