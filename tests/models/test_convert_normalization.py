"""Converted models against the originals."""

import keras
import numpy as np
import pytest

from benchmarks.models import application
from keras_norms import layers
from keras_norms.models import convert_normalization
from keras_norms.models.convert_normalization import LayerConversion
from tests.models.architectures import ARCHITECTURES
from tests.models.architectures import FEATURES
from tests.models.architectures import assert_same_outputs
from tests.models.architectures import create
from tests.models.architectures import norms_of

BATCH_NORMS = (
    "BatchNormalization",
    "CrossReplicaBatchNormalization",
    "GhostBatchNormalization",
    "BatchGroupNormalization",
    "RepresentativeBatchNormalization",
    "InstanceEnhancementBatchNormalization",
    "UnifiedBatchNormalization",
    "DynamicNormalization",
)


@pytest.mark.parametrize("to", ["keras_norms", *BATCH_NORMS])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_inference_does_not_change(name, to):
    model = create(name)
    before = [weight.numpy() for weight in model.weights]
    converted, report = convert_normalization(model, to, return_report=True)
    assert_same_outputs(name, model, converted)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    target = "BatchNormalization" if to == "keras_norms" else to
    old, new = norms_of(model), norms_of(converted)
    assert list(new) == list(old)
    assert report == [
        LayerConversion(path, "BatchNormalization", target, ()) for path in old
    ]
    for path, layer in new.items():
        assert type(layer) is getattr(layers, target)
        assert layer.name == old[path].name
        assert layer.trainable == old[path].trainable
        assert layer.dtype_policy.name == old[path].dtype_policy.name
        assert layer.epsilon == old[path].epsilon


@pytest.mark.parametrize("to", BATCH_NORMS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_back_to_keras(name, to):
    model = create(name)
    back = convert_normalization(convert_normalization(model, to), "keras")
    assert_same_outputs(name, model, back)
    for layer in norms_of(back).values():
        assert type(layer) is keras.layers.BatchNormalization


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_training_of_the_same_kind_is_keras(name):
    model = create(name)
    converted = convert_normalization(model, "keras_norms")
    assert_same_outputs(name, model, converted, training=True)
    for have, want in zip(converted.weights, model.weights, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def group_normalized(x, norm, converted):
    """The outputs, in float64, of a group norm whose groups have the moments
    that batch norm's running statistics have, and those of the batch norm."""
    weights = {w.name: np.float64(w.numpy()) for w in norm.weights}
    scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + 1e-3)
    want = scale * (x - weights["moving_mean"]) + weights["beta"]
    groups = x.reshape(len(x), converted.groups, -1)
    variance = groups.var((0, 2), keepdims=True) + 1e-3
    groups = (groups - groups.mean((0, 2), keepdims=True)) / np.sqrt(variance)
    gamma, beta = (np.float64(w.numpy()) for w in converted.weights)
    return groups.reshape(x.shape) * gamma + beta, want


def test_group_norm_has_the_scale_of_batch_norm():
    """Where the moments of groups are those of the running statistics."""
    random = np.random.default_rng(0)
    x = random.normal(size=(1000, FEATURES)) * np.arange(1, 9) + 3
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((FEATURES,)), norm])
    values = random.normal(size=(2, FEATURES))
    norm.set_weights([*values, x.mean(0), x.var(0)])
    converted = convert_normalization(model, "GroupNormalization").layers[0]
    assert converted.groups == 2
    have, want = group_normalized(x, norm, converted)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(3, 1), (4, 1), (12, 3), (16, 4), (24, 6), (96, 24), (128, 32), (7, 1)],
)
def test_automatic_groups(channels, groups):
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((channels,)), norm])
    for to in (layers.GroupNormalization, keras.layers.GroupNormalization):
        converted = convert_normalization(model, to).layers[0]
        assert (type(converted), converted.groups) == (to, groups)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ResNet50", "MobileNetV2", "EfficientNetV2B0", "DenseNet121"]
)
def test_applications(name):
    """Same inference with our layers, and finite outputs of group norms."""
    model = application(name, 64)
    random = np.random.default_rng(1)
    x = random.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    same = convert_normalization(model, "keras_norms")
    np.testing.assert_allclose(same(x), model(x), rtol=1e-4, atol=1e-6)
    grouped = convert_normalization(model, "GroupNormalization")
    assert np.isfinite(grouped(x)).all()
    assert len(norms_of(grouped)) == len(norms_of(model))
