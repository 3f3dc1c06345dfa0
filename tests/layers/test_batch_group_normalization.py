"""Batch-group normalization, and the methods that it contains."""

import numpy as np
import pytest

from keras_norms import layers
from keras_norms import ops
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import SIZE
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import training_output


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        ({"groups": -1}, layers.BatchNormalization()),
        (
            {"groups": CHANNELS, "examples_per_group": 2},
            layers.GhostBatchNormalization(2),
        ),
        (
            {"groups": 4, "examples_per_group": 1},
            layers.GroupNormalization(4),
        ),
    ],
    ids=["batch", "ghost", "group"],
)
def test_special_cases(arguments, same):
    x = inputs()
    layer = layers.BatchGroupNormalization(**arguments, **EXACT)
    same = type(same).from_config({**same.get_config(), **EXACT})
    assert_close(training_output(layer, x), training_output(same, x))


def test_one_example_equals_group_norm():
    x = inputs()[:1]
    want = layers.GroupNormalization(4, **EXACT)(x)
    assert_close(
        training_output(layers.BatchGroupNormalization(4, **EXACT), x), want
    )


def test_one_group_pools_everything():
    x = inputs()
    y = training_output(layers.BatchGroupNormalization(1, **EXACT), x)
    assert_close(y, (x - x.mean()) / x.std())


def test_equals_batch_norm_of_reshaped_inputs():
    x = inputs()
    grouped = np.moveaxis(x.reshape(BATCH, SIZE, 4, 2), 2, 3)
    plain = layers.BatchNormalization(center=False, scale=False, **EXACT)
    want = training_output(plain, grouped.reshape(BATCH, SIZE * 2, 4))
    want = np.moveaxis(want.reshape(BATCH, SIZE, 2, 4), 2, 3).reshape(x.shape)
    assert_close(
        training_output(layers.BatchGroupNormalization(4, **EXACT), x), want
    )


def test_inference_with_batch_moments_equals_training():
    x = inputs()
    layer = layers.BatchGroupNormalization(4, momentum=0.0, **EXACT)
    want = training_output(layer, x)
    assert_close(layer.moving_mean, x.mean((0, 1, 2)))
    assert_close(layer(x), want)


def test_invariant_to_common_scale_only():
    x = inputs()
    each = np.linspace(0.5, 3, BATCH).reshape(-1, 1, 1, 1)
    layer = layers.BatchGroupNormalization(4, **EXACT)
    y = training_output(layer, x)
    assert_close(training_output(layer, 3 * x - 5), y)
    assert np.abs(training_output(layer, each * x) - y).max() > 0.1
    layer = layers.BatchGroupNormalization(4, examples_per_group=1, **EXACT)
    assert_close(
        training_output(layer, each * x - 2 * each), training_output(layer, x)
    )


def test_equals_zhou_et_al_for_divisible_groups():
    """Zhou et al. flatten (C, H, W) and split the result into groups."""
    x = inputs()
    flat = np.moveaxis(x, -1, 1).reshape(BATCH, 4, -1)
    mean, std = flat.mean((0, 2)), flat.std((0, 2))
    want = (flat - mean[:, None]) / std[:, None]
    want = np.moveaxis(want.reshape(BATCH, CHANNELS, 5, 4), 1, -1)
    assert_close(
        training_output(layers.BatchGroupNormalization(4, **EXACT), x), want
    )


@pytest.mark.parametrize("native", ["auto", "never"])
def test_masked_examples_keep_precision_of_running_means(native):
    """Fully masked examples contribute nothing to the blend."""
    x = np.random.default_rng(0).normal(1e4, 1, (3, 4, 6)).astype("float32")
    mask = np.zeros((3, 4), bool)
    ys = []
    for weight in (0.0, 0.7):
        layer = layers.BatchGroupNormalization(
            groups=2, inference_weight=weight
        )
        layer.build(x.shape)
        layer.moving_mean.assign(1e4 + np.arange(6) / 7)
        with ops.using_native(native):
            ys.append(layer(x, mask=mask, training=False))
    np.testing.assert_allclose(*ys, atol=1e-5)
