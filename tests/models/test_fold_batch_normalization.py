"""Folded models against the originals."""

import keras
import numpy as np
import pytest

from benchmarks.models import application
from keras_norms import layers
from keras_norms.models import fold_batch_normalization
from tests.models.architectures import create
from tests.models.architectures import inputs_of
from tests.models.architectures import outputs_of
from tests.models.architectures import randomize
from tests.support.refusals import refusal

FEATURES = 6
# Layers, and the shape of an example.
LAYERS = {
    "dense": (lambda **o: keras.layers.Dense(5, **o), (FEATURES,)),
    "dense on images": (lambda **o: keras.layers.Dense(5, **o), (4, 3, 6)),
    "conv 1": (lambda **o: keras.layers.Conv1D(5, 3, **o), (7, 6)),
    "conv 2": (lambda **o: keras.layers.Conv2D(5, 3, **o), (7, 6, 6)),
    "conv 2 in groups": (
        lambda **o: keras.layers.Conv2D(4, 3, groups=2, **o),
        (7, 6, 6),
    ),
    "conv 3": (lambda **o: keras.layers.Conv3D(5, 2, **o), (4, 3, 3, 6)),
    "transposed 1": (
        lambda **o: keras.layers.Conv1DTranspose(5, 3, strides=2, **o),
        (7, 6),
    ),
    "transposed 2": (
        lambda **o: keras.layers.Conv2DTranspose(5, 3, **o),
        (7, 6, 6),
    ),
    "transposed 3": (
        lambda **o: keras.layers.Conv3DTranspose(5, 2, **o),
        (4, 3, 3, 6),
    ),
    "depthwise 1": (
        lambda **o: keras.layers.DepthwiseConv1D(3, depth_multiplier=2, **o),
        (7, 6),
    ),
    "depthwise 2": (
        lambda **o: keras.layers.DepthwiseConv2D(3, depth_multiplier=2, **o),
        (7, 6, 6),
    ),
    "separable 1": (
        lambda **o: keras.layers.SeparableConv1D(5, 3, **o),
        (7, 6),
    ),
    "separable 2": (
        lambda **o: keras.layers.SeparableConv2D(5, 3, **o),
        (7, 6, 6),
    ),
}
NORMS = {
    "keras": keras.layers.BatchNormalization,
    "activation": lambda: layers.BatchNormalization(activation="relu"),
    "neither": lambda: layers.GhostBatchNormalization(
        4, center=False, scale=False
    ),
}


def norms_of(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def assert_same(model, folded, x):
    for have, want in zip(
        outputs_of(folded, x), outputs_of(model, x), strict=True
    ):
        scale = np.abs(want).max()
        np.testing.assert_allclose(have / scale, want / scale, atol=1e-5)


def images(shape, examples=3):
    random = np.random.default_rng(1)
    return random.normal(size=(examples, *shape)).astype("float32")


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_into_the_layer_before(name, norm, use_bias):
    make, shape = LAYERS[name]
    pair = [make(use_bias=use_bias), NORMS[norm]()]
    model = randomize(keras.Sequential([keras.Input(shape), *pair]), 0.5, 1.0)
    before = [weight.numpy() for weight in model.weights]
    folded = fold_batch_normalization(model)
    assert norms_of(folded) == []
    assert_same(model, folded, images(shape))
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    "name", ["dense", "dense on images", "conv 1", "conv 2", "conv 3"]
)
def test_into_the_layer_after(name):
    make, shape = LAYERS[name]
    pair = [
        keras.layers.BatchNormalization(),
        make(activation="relu"),
    ]
    model = randomize(keras.Sequential([keras.Input(shape), *pair]), 0.5, 1.0)
    folded = fold_batch_normalization(model)
    assert norms_of(folded) == []
    assert_same(model, folded, images(shape))


def test_batch_group_norm_pools_channels():
    pair = [keras.layers.Dense(6), layers.BatchGroupNormalization(3)]
    model = randomize(keras.Sequential([keras.Input((4,)), *pair]), 0.5, 1.0)
    folded = fold_batch_normalization(model)
    assert norms_of(folded) == []
    assert_same(model, folded, images((4,)))


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("sequential", 0),
        ("residual", 0),
        ("nested", 1),
        ("several_outputs", 1),
        ("shared", 1),
    ],
)
def test_architectures(name, left):
    """What no convolution is next to, or what is shared, is left."""
    model = create(name)
    folded = fold_batch_normalization(model)
    assert_same(model, folded, inputs_of(name))
    assert len(norms_of(folded)) == left


def conv(x, **options):
    return keras.layers.Conv2D(4, 3, **options)(x)


def read_twice(x):
    y = conv(x)
    return keras.layers.BatchNormalization()(y) + y


def read_as_output(x):
    y = conv(x)
    return [keras.layers.BatchNormalization()(y), y]


def called_twice(x):
    layer = keras.layers.Conv2D(6, 3, padding="same")
    return layer(keras.layers.BatchNormalization()(layer(x)))


def not_linear(x):
    return keras.layers.BatchNormalization()(conv(x, activation="relu"))


def padded_after(x):
    return conv(keras.layers.BatchNormalization()(x), padding="same")


def other_axis(x):
    return keras.layers.BatchNormalization(axis=1)(conv(x))


def weighs_examples(x):
    return layers.BatchNormalization(inference_weight=0.1)(conv(x))


def per_example(x):
    return layers.RepresentativeBatchNormalization()(conv(x))


@pytest.mark.parametrize(
    "build",
    [
        read_twice,
        read_as_output,
        called_twice,
        not_linear,
        padded_after,
        other_axis,
        weighs_examples,
        per_example,
    ],
)
def test_what_cannot_be_folded(build):
    inputs = keras.Input((7, 6, FEATURES))
    model = keras.Model(inputs, build(inputs))
    assert refusal(fold_batch_normalization, model) == (
        "The model must have a batch normalization directly after or before a "
        "convolution or a dense layer. Received: "
        f"{model.name!r}, in which none can be folded. Convert other "
        "normalizations to batch normalizations first."
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("ResNet50", 0),
        ("MobileNetV2", 0),
        ("EfficientNetV2B0", 0),
        # Those that an activation separates from the convolution after them.
        ("DenseNet121", 62),
    ],
)
def test_applications(name, left):
    model = application(name, 64)
    random = np.random.default_rng(1)
    folded = fold_batch_normalization(model)
    assert len(norms_of(folded)) == left
    x = random.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(folded(x), model(x), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_folded_models_are_saved(dtype, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((7, 6)),
            keras.layers.Conv1D(5, 3, dtype=dtype),
            keras.layers.BatchNormalization(dtype=dtype),
        ]
    )
    folded = fold_batch_normalization(model)
    x = np.random.default_rng(0).normal(size=(3, 7, 6))
    want = folded.predict(x, verbose=0)
    folded.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), want)
