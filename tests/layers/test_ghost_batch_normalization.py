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
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import training_output

# tests/layers/test_running_variance.py tries the default.
WITHIN = {"running_variance": "within", **FLOAT64}


def test_one_ghost_batch_equals_batch_norm():
    x = inputs()
    ghost = layers.GhostBatchNormalization(BATCH, **EXACT)
    assert_close(
        training_output(ghost, x),
        training_output(layers.BatchNormalization(**EXACT), x),
    )


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_equals_batch_norm_of_each_ghost_batch(size):
    x = inputs()
    plain = layers.BatchNormalization(**EXACT)
    starts = range(0, BATCH, size)
    want = np.concatenate(
        [training_output(plain, x[k : k + size]) for k in starts]
    )
    assert_close(
        training_output(layers.GhostBatchNormalization(size, **EXACT), x), want
    )


def test_ghost_batches_of_one_example_equal_instance_norm():
    x = inputs()
    want = layers.InstanceNormalization(**EXACT)(x)
    assert_close(
        training_output(layers.GhostBatchNormalization(1, **EXACT), x), want
    )


def test_batch_convention_updates_once_with_batch_moments():
    layer = layers.GhostBatchNormalization(2, momentum=0.8, **WITHIN)
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for seed in range(3):
        x = inputs(seed)
        layer(x, training=True)
        mean = 0.8 * mean + 0.2 * x.mean((0, 1, 2))
        variance = 0.8 * variance + 0.2 * x.var((0, 1, 2))
    assert_close(layer.moving_mean, mean)
    assert_close(layer.moving_variance, variance)


def ghosts_of(x, size):
    return [x[k : k + size] for k in range(0, len(x), size)]


@pytest.mark.parametrize("size", [1, 2, 4, BATCH, 10])
@pytest.mark.parametrize("momentum", [0.0, 0.8, 1.0])
def test_sequential_convention_updates_once_per_ghost_batch(size, momentum):
    layer = layers.GhostBatchNormalization(
        size, ghost_statistics="sequential", momentum=momentum, **WITHIN
    )
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for seed in range(2):
        layer(inputs(seed), training=True)
        for ghost in ghosts_of(inputs(seed), size):
            mean = momentum * mean + (1 - momentum) * ghost.mean(AXES)
            variance = momentum * variance + (1 - momentum) * ghost.var(AXES)
    assert_close(layer.moving_mean, mean)
    assert_close(layer.moving_variance, variance)


@pytest.mark.parametrize("size", [1, 2, 4, BATCH, 10])
def test_average_convention_updates_once_with_mean_of_ghost_moments(size):
    layer = layers.GhostBatchNormalization(
        size, ghost_statistics="average", momentum=0.8, **WITHIN
    )
    layer(inputs(), training=True)
    ghosts = ghosts_of(inputs(), size)
    share = np.array([len(g) for g in ghosts]) / BATCH
    variance = sum(s * g.var(AXES) for s, g in zip(share, ghosts, strict=True))
    assert_close(layer.moving_mean, 0.2 * inputs().mean(AXES))
    assert_close(layer.moving_variance, 0.8 + 0.2 * variance)
    means = np.stack([g.mean(AXES) for g in ghosts])
    between = (share[:, None] * (means - inputs().mean(AXES)) ** 2).sum(0)
    assert_close(variance + between, inputs().var(AXES))


@pytest.mark.parametrize("statistics", ["sequential", "average"])
@pytest.mark.parametrize("unknown", [False, True])
def test_masked_ghost_batches_cause_no_update(statistics, unknown):
    """The result is that without them, also for unknown batch sizes."""
    mask = np.array([True, True, False, False, True, True])
    masked, unmasked = (
        layers.GhostBatchNormalization(
            2, ghost_statistics=statistics, momentum=0.8, **FLOAT64
        )
        for _ in range(2)
    )
    x = inputs()
    shape = [None if unknown else BATCH, *x.shape[1:]]

    @tf.function(input_signature=[tf.TensorSpec(shape, "float64")])
    def run(x):
        return masked(x, training=True, mask=mask)

    run(x)
    unmasked(x[mask], training=True)
    assert_close(masked.moving_mean, unmasked.moving_mean)
    assert_close(masked.moving_variance, unmasked.moving_variance)


X = np.random.default_rng(0).normal(1, 2, (70, 4)).astype("float32")


@pytest.mark.parametrize("statistics", ["sequential", "average", "batch"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equal_replicas_update_as_one_device(strategy, statistics, momentum):
    """A negative target, of a falling variance, was once clipped to 0."""
    x = 0.1 * X[:32]

    def make():
        layer = layers.GhostBatchNormalization(
            2, ghost_statistics=statistics, momentum=momentum
        )
        layer.build((None, 4))
        return layer

    single = make()
    with strategy.scope():
        layer = make()
    step = tf.function(lambda: strategy.run(layer, (x,), {"training": True}))
    for _ in range(3):
        step()
        single(x, training=True)
    for name in ("moving_mean", "moving_variance"):
        have, want = getattr(layer, name), getattr(single, name)
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-7)
