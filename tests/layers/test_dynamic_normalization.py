"""Dynamic normalization: its start, its two scopes, its cost."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.layers.steps import AXES
from tests.layers.steps import FLOAT64
from tests.layers.steps import randomized
from tests.layers.steps import step
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import assert_close
from tests.support.samples import input_gradient
from tests.support.samples import inputs
from tests.support.samples import random_moments
from tests.support.samples import training_output
from tests.support.samples import with_running_statistics


@pytest.mark.parametrize("scope", ["example", "batch"])
@pytest.mark.parametrize("separate", [False, True])
def test_initial_output_equals_batch_norm(scope, separate):
    x, dy = inputs(), inputs(1)
    layer = layers.DynamicNormalization(scope, separate=separate, **FLOAT64)
    plain = layers.BatchNormalization(**FLOAT64)
    for have, want in zip(step(layer, x, dy), step(plain, x, dy), strict=True):
        assert_close(have, want)
    assert_close(layer(x), plain(x))


def both_scopes():
    return [
        randomized(layers.DynamicNormalization(scope, reduction=1, **FLOAT64))
        for scope in ("example", "batch")
    ]


def test_scopes_agree_for_equal_examples():
    example, batch = both_scopes()
    for x in (inputs()[:1], np.concatenate([inputs()[:1]] * 4)):
        assert_close(training_output(example, x), training_output(batch, x))
    x = inputs()
    assert (
        np.abs(training_output(example, x) - training_output(batch, x)).max()
        > 0.1
    )


def test_identity_is_representable():
    """With std - 1 added to gamma and the mean added to beta, y equals x."""
    layer = layers.DynamicNormalization(
        "batch",
        separate=True,
        reduction=1,
        hidden_activation="linear",
        **EXACT,
    )
    layer.build(inputs().shape)
    for name in ("scale_", "shift_"):
        for kernel in ("hidden_kernel", "output_kernel"):
            getattr(layer, name + kernel).assign(np.eye(CHANNELS))
    layer.scale_output_bias.assign(-np.ones(CHANNELS))
    assert_close(training_output(layer, inputs()), inputs())


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_inference_is_independent_of_other_examples(weight):
    for layer in both_scopes():
        layer.inference_weight = weight
        with_running_statistics(layer, *random_moments())
        x = inputs()
        alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
        np.testing.assert_allclose(layer(x), alone, rtol=1e-13)


def test_equivariant_to_permutation_of_examples():
    layer, _ = both_scopes()
    order = np.random.default_rng(0).permutation(BATCH)
    y = training_output(layer, inputs())
    np.testing.assert_allclose(
        training_output(layer, inputs()[order]), y[order], rtol=1e-12
    )


def test_batch_scope_inference_statistics():
    x = inputs()
    _, layer = both_scopes()
    config = {**layer.get_config(), "inference_statistics": "batch"}
    other = randomized(type(layer).from_config(config))
    for each in (layer, other):
        with_running_statistics(each, x.mean(AXES), x.var(AXES))
    want = training_output(type(layer).from_config(config), x)
    np.testing.assert_allclose(layer(x), other(x), rtol=1e-12)
    assert want.shape == x.shape
    alone = layer(x[:1])
    np.testing.assert_allclose(layer(x)[:1], alone, rtol=1e-13)
    assert np.abs(other(x)[:1] - other(x[:1])).max() > 0.1


@pytest.mark.parametrize("scope", ["example", "batch"])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("epsilon", [1e-3, 0.0])
def test_gradients_reach_every_weight(scope, constant, epsilon):
    """They equal finite differences, also if an example is constant."""
    layer = layers.DynamicNormalization(
        scope, reduction=1, epsilon=epsilon, **FLOAT64
    )
    randomized(layer)
    x, dy = inputs(), inputs(1)
    if constant:
        x[0] = 2.0
    with tf.GradientTape() as tape:
        variables = [v.value for v in layer.trainable_variables]
        loss = tf.reduce_sum(layer(x, training=True) * dy)
    for g in tape.gradient(loss, variables):
        assert np.isfinite(g).all()
        assert np.any(g)
    have = input_gradient(layer, x, dy)
    assert np.isfinite(have).all()
    direction = inputs(2)
    if constant and epsilon == 0:
        direction[0] = 1.0  # The root is not differentiable otherwise.
    above, below = (
        (training_output(layer, x + sign * 1e-6 * direction) * dy).sum()
        for sign in (1, -1)
    )
    want = (above - below) / 2e-6
    np.testing.assert_allclose((have * direction).sum(), want, rtol=1e-6)


def test_multiply_adds_of_mobilenet_as_in_the_paper():
    """0.6% more multiply-adds, within 0.1, with the default reduction."""
    model = keras.applications.MobileNetV2(weights=None)
    theirs = keras.layers.BatchNormalization

    def swapped(layer):
        if not isinstance(layer, theirs):
            return type(layer).from_config(layer.get_config())
        return layers.DynamicNormalization(
            momentum=layer.momentum, epsilon=layer.epsilon, name=layer.name
        )

    changed = keras.models.clone_model(model, clone_function=swapped)
    norms = [
        layer
        for layer in changed.layers
        if isinstance(layer, layers.DynamicNormalization)
    ]
    assert len(norms) == 52
    added = sum(
        int(np.prod(variable.shape))
        for layer in norms
        for variable in layer.trainable_variables
        if "kernel" in variable.name
    )
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            _, height, width, channels = layer.output.shape
            total += height * width * channels * np.prod(layer.kernel_size)
        elif isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * np.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += np.prod(layer.kernel.shape)
    assert abs(total / 300.8e6 - 1) < 0.01
    assert abs(100 * added / total - 0.6) < 0.1
    more = changed.count_params() - model.count_params()
    biases = sum(
        int(np.prod(variable.shape))
        for layer in norms
        for variable in layer.trainable_variables
        if "bias" in variable.name
    )
    assert more == added + biases


@pytest.mark.parametrize("native", ["auto", "never"])
def test_inference_with_batch_statistics_keeps_precision(native):
    """A batch of one position, whose variance has no gradient."""
    x = np.random.default_rng(0).normal(0, 1e3, (1, 6)).astype("float32")
    gradients = []
    for dtype in ("float64", "float32"):
        layer = layers.DynamicNormalization(
            scope="batch",
            inference_statistics="batch",
            hidden_initializer=keras.initializers.Constant(1e-3),
            output_initializer=keras.initializers.Constant(1e-3),
            hidden_activation="tanh",
            epsilon=1e-5,
            dtype=dtype,
        )
        layer.build(x.shape)
        layer.moving_variance.assign(np.full(6, 1e6))
        inputs = tf.constant(x.astype(dtype))
        with ops.using_native(native), tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs, training=False)
        gradients.append(tape.gradient(y, inputs).numpy())
    scale = np.abs(gradients[0]).max()
    np.testing.assert_allclose(
        gradients[1] / scale, gradients[0] / scale, atol=1e-5
    )
