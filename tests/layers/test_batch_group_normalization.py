"""Batch-group normalization, and the methods that it contains."""

import numpy as np
import pytest

from keras_norms import layers
from keras_norms import ops
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import SIZE
from tests.support.samples import close
from tests.support.samples import inputs
from tests.support.samples import trained


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
def test_batch_group_norm_contains_the_others(arguments, same):
    x = inputs()
    layer = layers.BatchGroupNormalization(**arguments, **EXACT)
    same = type(same).from_config({**same.get_config(), **EXACT})
    close(trained(layer, x), trained(same, x))


def test_batch_group_norm_of_one_example_is_group_norm():
    x = inputs()[:1]
    want = layers.GroupNormalization(4, **EXACT)(x)
    close(trained(layers.BatchGroupNormalization(4, **EXACT), x), want)


def test_one_group_of_the_batch_pools_everything():
    x = inputs()
    y = trained(layers.BatchGroupNormalization(1, **EXACT), x)
    close(y, (x - x.mean()) / x.std())


def test_batch_group_norm_is_batch_norm_of_reshaped_inputs():
    x = inputs()
    grouped = np.moveaxis(x.reshape(BATCH, SIZE, 4, 2), 2, 3)
    plain = layers.BatchNormalization(center=False, scale=False, **EXACT)
    want = trained(plain, grouped.reshape(BATCH, SIZE * 2, 4))
    want = np.moveaxis(want.reshape(BATCH, SIZE, 2, 4), 2, 3).reshape(x.shape)
    close(trained(layers.BatchGroupNormalization(4, **EXACT), x), want)


def test_batch_group_inference_with_the_moments_of_the_batch_trains():
    x = inputs()
    layer = layers.BatchGroupNormalization(4, momentum=0.0, **EXACT)
    want = trained(layer, x)
    close(layer.moving_mean, x.mean((0, 1, 2)))
    close(layer(x), want)


def test_batch_group_norm_undoes_one_scale_for_all_but_not_one_each():
    x = inputs()
    each = np.linspace(0.5, 3, BATCH).reshape(-1, 1, 1, 1)
    layer = layers.BatchGroupNormalization(4, **EXACT)
    y = trained(layer, x)
    close(trained(layer, 3 * x - 5), y)
    assert np.abs(trained(layer, each * x) - y).max() > 0.1
    layer = layers.BatchGroupNormalization(4, examples_per_group=1, **EXACT)
    close(trained(layer, each * x - 2 * each), trained(layer, x))


def test_batch_group_norm_of_zhou_et_al_is_the_same_where_groups_divide():
    """They flatten (C, H, W) and split that: statistics over N and D / G."""
    x = inputs()
    flat = np.moveaxis(x, -1, 1).reshape(BATCH, 4, -1)
    mean, std = flat.mean((0, 2)), flat.std((0, 2))
    want = (flat - mean[:, None]) / std[:, None]
    want = np.moveaxis(want.reshape(BATCH, CHANNELS, 5, 4), 1, -1)
    close(trained(layers.BatchGroupNormalization(4, **EXACT), x), want)


@pytest.mark.parametrize("native", ["auto", "never"])
def test_masked_examples_keep_the_digits_of_running_means(native):
    """Where an example has nothing of its own to weigh in."""
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
