"""Ghost batches, and the three conventions of their running statistics."""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.layers.steps import AXES
from tests.layers.steps import FLOAT64
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import close
from tests.support.samples import inputs
from tests.support.samples import trained


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


def ghosts_of(x, size):
    return [x[k : k + size] for k in range(0, len(x), size)]


@pytest.mark.parametrize("size", [1, 2, 4, BATCH, 10])
@pytest.mark.parametrize("momentum", [0.0, 0.8, 1.0])
def test_averages_take_a_step_for_each_ghost_batch(size, momentum):
    layer = layers.GhostBatchNormalization(
        size, ghost_statistics="sequential", momentum=momentum, **FLOAT64
    )
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for seed in range(2):
        layer(inputs(seed), training=True)
        for ghost in ghosts_of(inputs(seed), size):
            mean = momentum * mean + (1 - momentum) * ghost.mean(AXES)
            variance = momentum * variance + (1 - momentum) * ghost.var(AXES)
    close(layer.moving_mean, mean)
    close(layer.moving_variance, variance)


@pytest.mark.parametrize("size", [1, 2, 4, BATCH, 10])
def test_averages_take_a_step_of_the_mean_of_ghost_batches(size):
    layer = layers.GhostBatchNormalization(
        size, ghost_statistics="average", momentum=0.8, **FLOAT64
    )
    layer(inputs(), training=True)
    ghosts = ghosts_of(inputs(), size)
    share = np.array([len(g) for g in ghosts]) / BATCH
    variance = sum(s * g.var(AXES) for s, g in zip(share, ghosts, strict=True))
    close(layer.moving_mean, 0.2 * inputs().mean(AXES))
    close(layer.moving_variance, 0.8 + 0.2 * variance)
    means = np.stack([g.mean(AXES) for g in ghosts])
    between = (share[:, None] * (means - inputs().mean(AXES)) ** 2).sum(0)
    close(variance + between, inputs().var(AXES))


@pytest.mark.parametrize("statistics", ["sequential", "average"])
@pytest.mark.parametrize("unknown", [False, True])
def test_masked_ghost_batches_are_no_step(statistics, unknown):
    """As if they were not there, of known and of unknown batches."""
    mask = np.array([True, True, False, False, True, True])
    some, all_of_it = (
        layers.GhostBatchNormalization(
            2, ghost_statistics=statistics, momentum=0.8, **FLOAT64
        )
        for _ in range(2)
    )
    x = inputs()
    shape = [None if unknown else BATCH, *x.shape[1:]]

    @tf.function(input_signature=[tf.TensorSpec(shape, "float64")])
    def run(x):
        return some(x, training=True, mask=mask)

    run(x)
    all_of_it(x[mask], training=True)
    close(some.moving_mean, all_of_it.moving_mean)
    close(some.moving_variance, all_of_it.moving_variance)


X = np.random.default_rng(0).normal(1, 2, (70, 4)).astype("float32")


@pytest.mark.parametrize("statistics", ["sequential", "average", "batch"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equal_replicas_move_ghost_statistics_as_one_device_does(
    strategy, statistics, momentum
):
    """A target below 0, of a falling variance, was cut off in the merge."""
    x = 0.1 * X[:32]

    def make():
        layer = layers.GhostBatchNormalization(
            2, ghost_statistics=statistics, momentum=momentum
        )
        layer.build((None, 4))
        return layer

    alone = make()
    with strategy.scope():
        layer = make()
    step = tf.function(lambda: strategy.run(layer, (x,), {"training": True}))
    for _ in range(3):
        step()
        alone(x, training=True)
    for name in ("moving_mean", "moving_variance"):
        have, want = getattr(layer, name), getattr(alone, name)
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-7)
