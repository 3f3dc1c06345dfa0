"""Dtypes, large means and constant inputs, for every described layer."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.descriptors import CHANNELS
from tests.conformance.training_step import as_float64
from tests.conformance.training_step import build
from tests.conformance.training_step import check
from tests.conformance.training_step import data
from tests.conformance.training_step import every_layer
from tests.conformance.training_step import train
from tests.conformance.training_step import weights


@every_layer
@pytest.mark.parametrize(
    ("masked", "jit"), [(False, False), (True, False), (True, True)]
)
def test_large_mean_keeps_precision(descriptor, masked, jit):
    """The residuals of means keep small differences of large means."""
    shape = (5, 4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1, mean=1e4)
    rng = np.random.default_rng(0)
    # The means of examples differ, so that deviations from them are large.
    x = (x + rng.normal(size=(5, 1, 1, CHANNELS))).astype("float32")
    dy = dy.astype("float32")
    mask = rng.random(shape[:2]) < 0.7
    layer = build(descriptor, shape, -1, gamma, beta)
    for variable in layer.trainable_variables:
        if variable.name == "scale_weight":
            # Otherwise a gate that reads inputs saturates at a mean of 1e4.
            variable.assign(variable / 1e4)
    inputs = [x, dy, mask][: 2 + masked]
    sizes = [None] * 3 + [CHANNELS]
    signature = [tf.TensorSpec(sizes)] * 2 + [tf.TensorSpec(sizes[:2], "bool")]
    step = train(
        layer,
        descriptor.training,
        input_signature=signature[: len(inputs)],
        jit_compile=jit,
    )
    results = as_float64(step(*map(tf.constant, inputs)))
    x, dy = x.astype("float64"), dy.astype("float64")
    mask = mask if masked else None
    expected = descriptor.expected(x, dy, weights(layer), -1, mask)
    check(results, expected, 5e-6)


@every_layer
@pytest.mark.parametrize(
    ("policy", "tolerance", "jit"),
    [
        *(("mixed_bfloat16", 0.03, jit) for jit in (False, True)),
        *(("mixed_float16", 4e-3, jit) for jit in (False, True)),
        # For XLA this is the same as the first policy.
        ("bfloat16", 0.03, False),
    ],
)
def test_16_bits(descriptor, policy, tolerance, jit):
    """x in float32 beyond the range of float16, and x in 16 bits."""
    shape = (5, 4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1, "float32")
    layer = build(descriptor, shape, -1, gamma, beta, dtype=policy)
    step = train(layer, descriptor.training, jit_compile=jit)
    compute = layer.compute_dtype
    assert all(weight.dtype == "float32" for weight in layer.weights)
    for variable in layer.trainable_variables:
        if variable.name.endswith("output_kernel"):
            # Otherwise large statistics lead out of the range of float16.
            variable.assign(variable * 1e-5)
    for scale, dtype in ((1e5, "float32"), (1.0, compute)):
        inputs = tf.cast(tf.constant(x * scale), dtype)
        results = step(inputs, tf.cast(tf.constant(dy), compute), None)
        assert results["y"].dtype == compute
        assert results["dx"].dtype == dtype
        expected = descriptor.expected(
            tf.cast(inputs, "float64"),
            tf.cast(tf.cast(dy, compute), "float64"),
            weights(layer),
            -1,
        )
        check(as_float64(results), expected, tolerance)


@every_layer
def test_constant_input_returns_exactly_beta(descriptor):
    if not descriptor.constants_give_beta:
        return
    shape = (3, 7, 7, CHANNELS)
    beta = np.linspace(-1, 1, CHANNELS).astype("float32")
    layer = build(descriptor, shape, -1, np.ones(CHANNELS), beta)
    for value in (0.1, 1e4 + 0.3, -7.7):
        y = layer(np.full(shape, value, "float32"), **descriptor.training)
        np.testing.assert_array_equal(y, np.broadcast_to(beta, shape))


@every_layer
@pytest.mark.parametrize(
    "dtypes", [("float64", "float32"), ("float32", "float64")]
)
def test_different_input_and_output_dtypes(descriptor, dtypes):
    dtype, policy = dtypes
    shape = (5, 4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1)
    layer = build(descriptor, shape, -1, gamma, beta, dtype=policy)
    results = train(layer, descriptor.training)(
        tf.constant(x, dtype), tf.constant(dy, policy)
    )
    assert results["y"].dtype == policy
    assert results["dx"].dtype == dtype
    expected = descriptor.expected(x, dy, weights(layer), -1)
    check(as_float64(results), expected, 1e-5)


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("constant", ["one", "all", "zeros"])
def test_gradients_reach_every_weight_for_constant_input(
    descriptor, policy, constant
):
    shape = (4, 3, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1, "float32")
    if constant == "one":
        x[0] = 7.0
    else:
        x[:] = 7.0 if constant == "all" else 0.0
    layer = build(descriptor, shape, -1, gamma, beta, dtype=policy)
    step = train(layer, descriptor.training)
    results = step(tf.constant(x), tf.cast(dy, layer.compute_dtype))
    for name, result in results.items():
        assert np.isfinite(tf.cast(result, "float32")).all(), name
        if constant == "one" and name not in ("y", "dx"):
            assert np.any(result), name
