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
def test_a_large_mean_costs_no_digits(descriptor, masked, jit):
    """Rounded means are told apart by what their rounding left."""
    shape = (5, 4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1, mean=1e4)
    rng = np.random.default_rng(0)
    # Scales of examples apart: deviations from the mean are not small.
    x = (x + rng.normal(size=(5, 1, 1, CHANNELS))).astype("float32")
    dy = dy.astype("float32")
    mask = rng.random(shape[:2]) < 0.7
    layer = build(descriptor, shape, -1, gamma, beta)
    for variable in layer.trainable_variables:
        if variable.name == "scale_weight":
            # A gate that reads inputs is open at a mean of 1e4.
            variable.assign(variable / 1e4)
    given = [x, dy, mask][: 2 + masked]
    sizes = [None] * 3 + [CHANNELS]
    signature = [tf.TensorSpec(sizes)] * 2 + [tf.TensorSpec(sizes[:2], "bool")]
    step = train(
        layer,
        descriptor.training,
        input_signature=signature[: len(given)],
        jit_compile=jit,
    )
    results = as_float64(step(*map(tf.constant, given)))
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
        # To XLA no other than the first.
        ("bfloat16", 0.03, False),
    ],
)
def test_16_bits(descriptor, policy, tolerance, jit):
    """float32 x beyond float16's range, 16-bit x, statistics in float32."""
    shape = (5, 4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1, "float32")
    layer = build(descriptor, shape, -1, gamma, beta, dtype=policy)
    step = train(layer, descriptor.training, jit_compile=jit)
    compute = layer.compute_dtype
    assert all(weight.dtype == "float32" for weight in layer.weights)
    for variable in layer.trainable_variables:
        if variable.name.endswith("output_kernel"):
            # Or what is made of large statistics leaves float16's range.
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
def test_constant_input_gives_beta_exactly(descriptor):
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
def test_input_and_output_of_unlike_dtypes(descriptor, dtypes):
    given, policy = dtypes
    shape = (5, 4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1)
    layer = build(descriptor, shape, -1, gamma, beta, dtype=policy)
    results = train(layer, descriptor.training)(
        tf.constant(x, given), tf.constant(dy, policy)
    )
    assert results["y"].dtype == policy
    assert results["dx"].dtype == given
    expected = descriptor.expected(x, dy, weights(layer), -1)
    check(as_float64(results), expected, 1e-5)


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("constant", ["one", "all", "zeros"])
def test_gradients_reach_every_weight_also_of_constants(
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
