"""What must hold between the methods, and of each, by algebra alone."""

import keras
import numpy as np
import pytest

from keras_norms import layers
from keras_norms import ops
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import SIZE
from tests.support.samples import close
from tests.support.samples import gradient
from tests.support.samples import inputs
from tests.support.samples import running
from tests.support.samples import trained
from tests.support.samples import with_averages

# Batch norm


def test_batch_norm_passes_no_gradient_along_a_shift_or_a_scale():
    x, dy = inputs(), inputs(1)
    layer = layers.BatchNormalization(**EXACT)
    dx = gradient(layer, x, dy)
    close(dx.sum((0, 1, 2)), 0)
    close((dx * trained(layer, x)).sum((0, 1, 2)), 0)


def test_batch_norm_gradient_is_that_of_finite_differences():
    x, dy = inputs(), inputs(1)
    layer = layers.BatchNormalization(dtype="float64", momentum=1)
    direction, step = inputs(2), 1e-6
    above, below = (
        (trained(layer, x + sign * step * direction) * dy).sum()
        for sign in (1, -1)
    )
    want = (above - below) / (2 * step)
    have = (gradient(layer, x, dy) * direction).sum()
    np.testing.assert_allclose(have, want, rtol=1e-7)


def test_batch_norm_is_bounded_by_a_one_hot_column():
    x = np.zeros((BATCH, 5, 4, 1))
    x[0, 0, 0] = 3
    y = trained(layers.BatchNormalization(**EXACT), x)
    close(y.max(), np.sqrt(x.size - 1))
    bound = np.sqrt(x.size - 1)
    y = trained(layers.BatchNormalization(**EXACT), inputs() ** 5)
    assert np.abs(y).max() <= bound


def test_renorm_unclipped_normalizes_by_its_averages():
    x = inputs()
    layer = layers.BatchNormalization(renorm=True, dtype="float64")
    layer.build(x.shape)
    mean, stddev = running()
    layer.renorm_mean.assign(mean)
    layer.renorm_stddev.assign(stddev)
    close(trained(layer, x), (x - mean) / stddev)


def test_renorm_clipped_to_nothing_is_batch_norm():
    x = inputs()
    clipping = {"rmax": 1, "rmin": 1, "dmax": 0}
    layer = layers.BatchNormalization(
        renorm=True, renorm_clipping=clipping, dtype="float64"
    )
    plain = layers.BatchNormalization(dtype="float64")
    close(trained(layer, x), trained(plain, x))


# Inference example weighing


def test_weight_0_is_batch_norm_at_inference():
    x = inputs()
    mean, variance = running()
    layer = layers.BatchNormalization(inference_weight=0.0, **EXACT)
    y = with_averages(layer, mean, variance)(x)
    close(y, (x - mean) / np.sqrt(variance))


def test_weight_1_is_instance_norm_and_group_norm_if_grouped():
    x = inputs()
    layer = layers.BatchNormalization(inference_weight=1.0, **EXACT)
    want = layers.InstanceNormalization(**EXACT)(x)
    close(with_averages(layer, *running())(x), want)
    layer = layers.BatchGroupNormalization(4, inference_weight=1.0, **EXACT)
    want = layers.GroupNormalization(4, **EXACT)(x)
    close(with_averages(layer, *running())(x), want)


def test_one_of_a_batch_with_the_moments_of_the_others_trains():
    """alpha = 1/B with moments of the other B - 1 is training's output."""
    x = inputs()
    want = trained(layers.BatchNormalization(**EXACT), x)
    for i in range(BATCH):
        others = np.delete(x, i, axis=0)
        layer = layers.BatchNormalization(
            inference_weight=1 / BATCH, dtype="float64", epsilon=0.0
        )
        axes = (0, 1, 2)
        with_averages(layer, others.mean(axes), others.var(axes))
        close(layer(x[i : i + 1])[0], want[i])


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1 / BATCH])
def test_weighing_bounds_what_inference_gives(alpha):
    x = np.zeros((1, 5, 4, CHANNELS))
    x[0, 0, 0] = 1e4
    layer = layers.BatchNormalization(inference_weight=alpha, **EXACT)
    with_averages(layer, *running())
    bound = np.sqrt(SIZE / alpha - 1)
    assert np.abs(layer(x)).max() <= bound * (1 + 1e-12)
    assert np.abs(layer(x)).max() > 0.9 * bound
    dense = np.full((1, 1, 1, CHANNELS), 1e9)
    bound = np.sqrt((1 - alpha) / alpha)
    np.testing.assert_allclose(np.abs(layer(dense)), bound, rtol=1e-6)


def test_weighed_inference_does_not_see_the_other_examples():
    x = inputs()
    for layer in (
        layers.BatchNormalization(inference_weight=0.3, **EXACT),
        layers.BatchGroupNormalization(4, inference_weight=0.3, **EXACT),
    ):
        with_averages(layer, *running())
        alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
        close(layer(x), alone)


# Ghost batches


def test_one_ghost_batch_is_batch_norm():
    x = inputs()
    ghost = layers.GhostBatchNormalization(BATCH, **EXACT)
    close(trained(ghost, x), trained(layers.BatchNormalization(**EXACT), x))


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_ghost_norm_is_batch_norm_of_each_chunk(size):
    x = inputs()
    plain = layers.BatchNormalization(**EXACT)
    starts = range(0, BATCH, size)
    want = np.concatenate([trained(plain, x[k : k + size]) for k in starts])
    close(trained(layers.GhostBatchNormalization(size, **EXACT), x), want)


def test_ghosts_of_one_example_are_instance_norm():
    x = inputs()
    want = layers.InstanceNormalization(**EXACT)(x)
    close(trained(layers.GhostBatchNormalization(1, **EXACT), x), want)


def test_variance_of_a_batch_is_that_within_and_between_ghosts():
    moments = ops.instance_moments(inputs())
    ghosts = moments.pool(examples=2)
    batch = moments.pool(examples=None)
    mean, variance = np.array(ghosts.mean)[::2], np.array(ghosts.variance)[::2]
    close(batch.variance[0], variance.mean(0) + mean.var(0))


def test_averages_take_one_step_of_the_full_batch():
    layer = layers.GhostBatchNormalization(2, momentum=0.8, dtype="float64")
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for seed in range(3):
        x = inputs(seed)
        layer(x, training=True)
        mean = 0.8 * mean + 0.2 * x.mean((0, 1, 2))
        variance = 0.8 * variance + 0.2 * x.var((0, 1, 2))
    close(layer.moving_mean, mean)
    close(layer.moving_variance, variance)


# Batch-group norm


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


def test_variance_of_batch_groups_within_and_between():
    moments = ops.instance_moments(inputs())
    both = np.array(moments.pool(examples=None, groups=4).variance)[0, ::2]
    groups = moments.pool(groups=4)
    mean, variance = (
        np.array(t)[:, ::2] for t in (groups.mean, groups.variance)
    )
    close(both, variance.mean(0) + mean.var(0))
    batch = moments.pool(examples=None)
    mean, variance = (
        np.array(t).reshape(4, 2) for t in (batch.mean, batch.variance)
    )
    close(both, variance.mean(1) + mean.var(1))


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


# Group norm


def test_one_group_is_layer_norm_over_positions_and_channels():
    x = inputs()
    gamma, beta = running()
    layer = layers.GroupNormalization(1, **EXACT)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    axes = (1, 2, 3)
    xhat = x - x.mean(axes, keepdims=True)
    xhat /= x.std(axes, keepdims=True)
    close(layer(x), gamma * xhat + beta)


def test_a_group_a_channel_is_instance_norm():
    x = inputs()
    want = layers.InstanceNormalization(**EXACT)(x)
    for groups in (CHANNELS, -1):
        close(layers.GroupNormalization(groups, **EXACT)(x), want)


def test_group_norm_undoes_a_scale_and_a_shift_of_each_example():
    x = inputs()
    each = np.linspace(0.5, 3, BATCH).reshape(-1, 1, 1, 1)
    layer = layers.GroupNormalization(4, **EXACT)
    close(layer(each * x - 2 * each), layer(x))


def test_group_norm_is_the_same_in_training_and_for_each_example_alone():
    x = inputs()
    layer = layers.GroupNormalization(4, dtype="float64")
    y = np.array(layer(x, training=False))
    np.testing.assert_array_equal(trained(layer, x), y)
    alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
    close(alone, y)


def test_groups_have_mean_0_and_variance_v_over_v_plus_epsilon():
    x = inputs().reshape(BATCH, SIZE, 4, 2)
    epsilon = 0.1
    layer = layers.GroupNormalization(4, epsilon=epsilon, dtype="float64")
    y = np.array(layer(x.reshape(BATCH, SIZE, CHANNELS))).reshape(x.shape)
    variance = x.var((1, 3))
    close(y.mean((1, 3)), 0)
    close(y.var((1, 3)), variance / (variance + epsilon))


def test_group_norm_equals_keras_with_the_same_epsilon():
    x = inputs()
    arguments = {"groups": 4, "epsilon": 1e-5, "dtype": "float64"}
    want = keras.layers.GroupNormalization(**arguments)(x)
    close(layers.GroupNormalization(**arguments)(x), want)


def test_gamma_0_makes_a_residual_block_the_identity():
    x = inputs()
    layer = layers.GroupNormalization(4, gamma_initializer="zeros")
    np.testing.assert_array_equal(x + np.array(layer(np.tanh(x))), x)
