"""Values, gradients, masks, dtypes and modes of every layer in the table."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS
from tests.conformance.descriptors import RUNNING
from tests.conformance.descriptors import RUNNING_IDS
from tests.references import formulas

every_layer = pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
every_running_layer = pytest.mark.parametrize(
    "descriptor", RUNNING, ids=RUNNING_IDS
)

SHAPES = {
    "dense": ((5, CHANNELS), -1),
    "last": ((5, 4, 3, CHANNELS), -1),
    "first": ((5, CHANNELS, 4, 3), 1),
    "middle": ((4, 3, CHANNELS, 5), 2),
    "long": ((2, 130, CHANNELS), -1),
    "one": ((1, 2, 2, CHANNELS), -1),
}


def data(shape, axis, dtype="float64", mean=0.0, seed=0):
    """x, dy, gamma and beta; channels of unlike deviation and mean."""
    rng = np.random.default_rng(seed)
    sizes = [1] * len(shape)
    sizes[axis] = -1
    step = np.arange(1.0, CHANNELS + 1).reshape(sizes)
    x = rng.normal(size=shape) * step + mean + step
    return (
        x.astype(dtype),
        rng.normal(size=shape).astype(dtype),
        np.linspace(0.5, 2, CHANNELS),
        np.linspace(-1, 1, CHANNELS),
    )


def build(descriptor, shape, axis, gamma, beta, **more):
    layer = descriptor.create(axis=axis, **more)
    layer.build(shape)
    rng = np.random.default_rng(4)
    for variable in layer.trainable_variables:
        variable.assign(rng.uniform(0.2, 0.8, variable.shape))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    return layer


def weights(layer):
    return {v.name: v.numpy() for v in layer.trainable_variables}


def train(layer, arguments, **options):
    """y, dx and the gradients of weights by name, of x and dy."""

    def step(x, dy, mask=None):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask, **arguments)
        names = [v.name for v in layer.trainable_variables]
        sources = [x, *(v.value for v in layer.trainable_variables)]
        gradients = tape.gradient(y, sources, dy)
        return dict(zip(["y", "dx", *names], [y, *gradients], strict=True))

    if options.pop("eager", False):
        return step
    return tf.function(step, **options)


def check(results, expected, tolerance):
    assert set(results) == set(expected)
    for name, want in expected.items():
        scale = max(1.0, np.abs(want).max(initial=0))
        error = np.abs(results[name].numpy() - want).max(initial=0) / scale
        assert error < tolerance, name


def as_float64(results):
    return {name: tf.cast(r, "float64") for name, r in results.items()}


def test_every_public_class_is_described():
    classes = set(keras_norms.layers.__all__)
    others = {"ThresholdedLinearUnit", "WeightStandardization"}
    assert classes - others == {d.name for d in DESCRIPTORS}


@every_layer
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, {"eager": True}) for name in SHAPES),
        *((name, {}) for name in SHAPES),
        # The others are such views as these, and XLA takes its time.
        *((n, {"jit_compile": True}) for n in ("dense", "first", "long")),
    ],
    ids=str,
)
def test_values_and_gradients(descriptor, name, mode):
    shape, axis = SHAPES[name]
    x, dy, gamma, beta = data(shape, axis)
    layer = build(descriptor, shape, axis, gamma, beta, dtype="float64")
    step = train(layer, descriptor.training, **mode)
    results = step(tf.constant(x), tf.constant(dy), None)
    expected = descriptor.expected(x, dy, weights(layer), axis)
    check(results, expected, 1e-12)


@every_layer
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("axis", [-1, 1])
def test_masked_values_and_gradients(descriptor, rank, axis):
    shape = (5, 4, 3, CHANNELS) if axis == -1 else (5, CHANNELS, 4, 3)
    x, dy, gamma, beta = data(shape, axis)
    mask = np.random.default_rng(1).random((5, 4, 3)[:rank]) < 0.6
    mask[0] = False
    layer = build(descriptor, shape, axis, gamma, beta, dtype="float64")
    step = train(layer, descriptor.training)
    results = step(tf.constant(x), tf.constant(dy), tf.constant(mask))
    expected = descriptor.expected(x, dy, weights(layer), axis, mask)
    check(results, expected, 1e-12)


@every_running_layer
@pytest.mark.parametrize("masked", [False, True])
def test_running_averages(descriptor, masked):
    shape = (5, 4, 3, CHANNELS)
    x, _, gamma, beta = data(shape, -1)
    mask = np.random.default_rng(1).random((5, 4)) < 0.6 if masked else None
    layer = build(
        descriptor, shape, -1, gamma, beta, dtype="float64", momentum=0.9
    )
    layer(x, training=True, mask=mask)
    mean, variance = formulas.followed(x, weights(layer), -1, mask)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, atol=1e-13)
    wanted = 0.9 + 0.1 * variance
    if getattr(layer, "renorm", False):
        stddev = 0.9 * np.ones(CHANNELS) + 0.1 * np.sqrt(variance + 1e-3)
        wanted = stddev**2 - 1e-3
    np.testing.assert_allclose(layer.moving_variance, wanted, atol=1e-12)


@every_running_layer
def test_inference(descriptor):
    shape = (5, 4, 3, CHANNELS)
    x, _, gamma, beta = data(shape, -1)
    layer = build(descriptor, shape, -1, gamma, beta, dtype="float64")
    mean, variance = np.linspace(-1, 1, CHANNELS), np.linspace(1, 3, CHANNELS)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    per_group = CHANNELS // descriptor.groups

    if descriptor.formula is not None:
        wanted = formulas.values(
            descriptor.formula,
            x,
            weights(layer),
            -1,
            descriptor.arguments,
            running=(mean, variance),
        )
        for training in (False, None, tf.constant(False)):
            y = layer(x, training=training)
            np.testing.assert_allclose(y, wanted, atol=1e-12)
        return

    def pooled(first, second):
        """Over the channels of a group, from first and second moments."""
        grouped = (*first.shape[:-1], descriptor.groups, per_group)
        first, second = (
            np.repeat(a.reshape(grouped).mean(-1), per_group, -1)
            for a in (first, second)
        )
        return first, second

    first, second = pooled(mean, variance + mean**2)
    own_first, own_second = pooled(x.mean((1, 2)), (x**2).mean((1, 2)))
    alpha = layer.inference_weight
    first = alpha * own_first + (1 - alpha) * first
    second = alpha * own_second + (1 - alpha) * second
    first, second = first[:, None, None], second[:, None, None]
    xhat = (x - first) / np.sqrt(second - first**2 + 1e-3)
    for training in (False, None, tf.constant(False)):
        y = layer(x, training=training)
        np.testing.assert_allclose(y, xhat * gamma + beta, atol=1e-12)
    layer.trainable = False
    y = layer(x, training=True)
    np.testing.assert_allclose(y, xhat * gamma + beta, atol=1e-12)
    np.testing.assert_array_equal(layer.moving_mean, mean)


@every_layer
def test_dynamic_shapes(descriptor):
    x, dy, gamma, beta = data((5, 4, 3, CHANNELS), -1)
    shape = (None, None, None, CHANNELS)
    layer = build(descriptor, shape, -1, gamma, beta, dtype="float64")
    spec = tf.TensorSpec(shape, "float64")
    step = train(layer, descriptor.training, input_signature=[spec, spec])
    for size in (5, 4, 1, 0):
        results = step(tf.constant(x[:size]), tf.constant(dy[:size]))
        if size:
            expected = descriptor.expected(
                x[:size], dy[:size], weights(layer), -1
            )
            check(results, expected, 1e-12)
        assert all(np.isfinite(result).all() for result in results.values())
    if descriptor.running:
        assert np.isfinite(layer.moving_mean).all()


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
def test_fused_activation(descriptor):
    shape = (4, 3, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1)
    results = []
    for activation in ("silu", None):
        layer = build(
            descriptor,
            shape,
            -1,
            gamma,
            beta,
            dtype="float64",
            activation=activation,
        )
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            y = layer(inputs, **descriptor.training)
            if activation is None:
                y = keras.activations.silu(y)
        sources = [inputs, layer.gamma.value, layer.beta.value]
        results.append([y, *tape.gradient(y, sources, tf.constant(dy))])
    for fused, separate in zip(*results, strict=True):
        np.testing.assert_allclose(fused, separate, atol=1e-12)


@every_layer
def test_gradient_of_the_gradient(descriptor):
    """Against central differences of the first gradient."""
    shape = (4, 3, CHANNELS)
    x, dy, gamma, beta = data(shape, -1)
    layer = build(descriptor, shape, -1, gamma, beta, dtype="float64")

    @tf.function
    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x, **descriptor.training)
            first = inner.gradient(y, x, dy)
            total = tf.reduce_sum(first**2)
        return total, outer.gradient(total, x)

    direction = np.random.default_rng(3).normal(size=shape)
    step = 1e-5
    above = second(tf.constant(x + step * direction))[0]
    below = second(tf.constant(x - step * direction))[0]
    gradient = second(tf.constant(x))[1].numpy()
    wanted = (above - below) / (2 * step)
    np.testing.assert_allclose(
        (gradient * direction).sum(), wanted, rtol=1e-6, atol=1e-7
    )


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


@every_running_layer
@pytest.mark.parametrize("shape", [(0, 4, 3, CHANNELS), (2, 0, 3, CHANNELS)])
@pytest.mark.parametrize("eager", [False, True])
def test_nothing_leaves_the_averages_alone(descriptor, shape, eager):
    layer = descriptor.create(momentum=0.5)
    layer.build(shape)
    layer.moving_mean.assign(np.arange(CHANNELS))
    averages = [v for v in layer.non_trainable_variables if v.name != "steps"]
    before = [variable.numpy() for variable in averages]

    def step(x):
        return layer(x, training=True)

    y = (step if eager else tf.function(step))(tf.zeros(shape))
    assert y.shape == shape
    for variable, value in zip(averages, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@every_running_layer
@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable])
def test_training_may_be_a_variable(descriptor, kind):
    layer = descriptor.create(dtype="float64")
    x = data((5, 4, 3, CHANNELS), -1)[0]
    layer.build(x.shape)
    for value in (False, True):
        weights = layer.get_weights()
        want = layer(x, training=value)
        layer.set_weights(weights)
        have = layer(x, training=kind(value, dtype="bool"))
        layer.set_weights(weights)
        np.testing.assert_allclose(have, want, atol=1e-12)


def test_renorm_reads_its_averages_before_it_moves_them():
    """Graphs keep no order between a read and an assignment by themselves."""
    x = tf.constant([[1.0], [5.0]] * 8)
    for _ in range(20):
        layer = keras_norms.layers.BatchNormalization(
            renorm=True, renorm_momentum=0.5
        )
        layer.build((None, 1))
        y = tf.function(lambda x, layer=layer: layer(x, training=True))(x)
        np.testing.assert_allclose(y, x, atol=1e-5)


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
