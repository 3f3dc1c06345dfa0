"""The depthwise affine transformation against shifted products."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from keras_norms import layers
from tests.layers.steps import FLOAT64
from tests.references.convolution import convolution
from tests.support.graphs import GRAPHS
from tests.support.samples import assert_close

CHANNELS = 5
SIZES = (4, 3, 6)


def data(rank, batch=3, seed=0):
    """x and dy with the channels last."""
    random = np.random.default_rng(seed)
    shape = (batch, *SIZES[: rank - 2], CHANNELS)
    return random.normal(size=shape), random.normal(size=shape)


def create(shape, **more):
    """A layer whose weights are random."""
    layer = layers.EnhancedAffine(**{**FLOAT64, **more})
    layer.build((None, *shape[1:]))
    random = np.random.default_rng(1)
    for weight in layer.trainable_variables:
        weight.assign(random.normal(size=weight.shape))
    return layer


def expected(x, dy, layer, mask=None):
    """y, dx and the gradients of the kernel and the bias."""
    sources = [tf.constant(x)]
    sources += [tf.cast(v, "float64") for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        x, kernel, bias = sources
        if mask is not None:
            mask = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
            x = tnp.where(mask, x, 0.0)
        y = convolution(tnp, x, kernel) + bias
    return y, *tape.gradient(y, sources, tf.constant(dy))


def train(layer, **options):
    def step(x, dy, mask=None):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        return y, *tape.gradient(y, sources, dy)

    return (
        step if options.pop("eager", False) else tf.function(step, **options)
    )


@pytest.mark.parametrize("mode", [{"eager": True}, {}, {"jit_compile": True}])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_equals_shifted_products(rank, axis, masked, mode):
    x, dy = data(rank)
    axis = axis if rank > 2 else -1
    mask = None
    if masked:
        mask = np.random.default_rng(2).random(x.shape[: min(rank - 1, 2)])
        mask = mask < 0.6
    first = [np.moveaxis(each, -1, axis) for each in (x, dy)]
    layer = create(first[0].shape, axis=axis, kernel_size=3)
    have = train(layer, **mode)(*map(tf.constant, first), mask)
    have = [np.moveaxis(h, axis, -1) for h in have[:2]] + list(have[2:])
    for result, want in zip(have, expected(x, dy, layer, mask), strict=True):
        assert_close(result, want)


@pytest.mark.parametrize("graph", GRAPHS)
def test_second_derivatives_inside_graphs(graph):
    """The gradient of a loop reads its arguments from another graph."""
    x, dy = map(tf.constant, data(rank=3))
    layer = create(x.shape)

    def derivatives(run):
        with tf.GradientTape() as outer:
            outer.watch([x, dy])
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(run(x) ** 3 * dy)
            penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(penalty, [x, dy])

    def reference(x):
        kernel, bias = (tf.constant(v.numpy()) for v in layer.variables)
        return convolution(tnp, x, kernel) + bias

    have = tf.function(derivatives)(lambda x: GRAPHS[graph](layer, x))
    for result, want in zip(have, derivatives(reference), strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 5, 7])
def test_other_kernels_may_exceed_the_input(size):
    x, dy = data(4)
    layer = create(x.shape, kernel_size=size)
    have = train(layer)(tf.constant(x), tf.constant(dy))
    for result, want in zip(have, expected(x, dy, layer), strict=True):
        assert_close(result, want)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_gradients_of_an_empty_batch_are_0(rank, eager):
    """TensorFlow's gradient of a depthwise kernel is then uninitialized."""
    x, dy = data(rank, batch=0)
    layer = create(x.shape)
    step = train(layer, eager=eager)
    for _ in range(5):
        np.random.default_rng(0).normal(size=1000)  # changes free memory
        y, dx, *gradients = step(tf.constant(x), tf.constant(dy))
        assert y.shape == dx.shape == x.shape
        for gradient in gradients:
            np.testing.assert_array_equal(gradient, 0 * gradient)


def test_unknown_sizes():
    x, dy = data(4)
    layer = create((None, None, None, CHANNELS))
    spec = tf.TensorSpec((None, None, None, CHANNELS), "float64")
    have = train(layer, input_signature=[spec, spec])(x, dy)
    for result, want in zip(have, expected(x, dy, layer), strict=True):
        assert_close(result, want)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("mixed_bfloat16", 0.03), ("bfloat16", 0.03), ("mixed_float16", 4e-3)],
)
def test_16_bits(policy, tolerance):
    x, dy = data(4)
    layer = create(x.shape, dtype=policy)
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    compute = layer.compute_dtype
    x, dy = tf.cast(x, compute), tf.cast(dy, compute)
    have = train(layer)(x, dy)
    assert have[0].dtype == have[1].dtype == compute
    wanted = expected(
        tf.cast(x, "float64").numpy(), tf.cast(dy, "float64").numpy(), layer
    )
    for result, want in zip(have, wanted, strict=True):
        scale = np.abs(want).max()
        error = np.abs(tf.cast(result, "float64") - want).max()
        assert error < tolerance * scale


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_new_layer_returns_its_inputs(rank):
    x, _ = data(rank)
    np.testing.assert_array_equal(layers.EnhancedAffine(**FLOAT64)(x), x)


def test_uniform_kernel_has_the_bound_of_pytorch():
    keras.utils.set_random_seed(0)
    layer = layers.EnhancedAffine(kernel_initializer="uniform")
    layer.build((None, 8, 8, 500))
    kernel = layer.kernel.numpy()
    assert 0.33 < np.abs(kernel).max() <= 1 / 3
    assert abs(kernel.std() - 1 / 3 / 3**0.5) < 0.01


def test_saved_layer(tmp_path):
    """The configuration, the weights and the outputs are restored."""
    x, _ = data(4)
    layer = create(
        x.shape,
        kernel_size=5,
        kernel_initializer="uniform",
        kernel_regularizer="l2",
        bias_constraint="non_neg",
        activation="relu6",
    )
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded(x), model(x))
    assert len(loaded.losses) == 1


def test_mask_is_passed_on():
    inputs = keras.Input((None,))
    embedded = keras.layers.Embedding(3, CHANNELS, mask_zero=True)(inputs)
    outputs = layers.EnhancedAffine()(embedded)
    model = keras.Model(inputs, [outputs, outputs._keras_mask])
    _, mask = model(np.array([[1, 2, 0]]))
    np.testing.assert_array_equal(mask, [[True, True, False]])
