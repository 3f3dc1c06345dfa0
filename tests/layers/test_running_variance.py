"""The running variance as published: a moving average of second moments."""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.conftest import REPLICAS
from tests.layers.steps import AXES
from tests.layers.steps import FLOAT64
from tests.support.refusals import refusal
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import assert_close
from tests.support.samples import inputs

MOMENTUM = 0.7
STEPS = 4
TOTAL = {"running_variance": "total", "momentum": MOMENTUM, **FLOAT64}


class SecondMoments:
    """Moving averages of E[x] and E[x**2], as the authors' code has them."""

    def __init__(self):
        self.first, self.second = np.zeros(CHANNELS), np.ones(CHANNELS)

    def update(self, first, second):
        self.first = MOMENTUM * self.first + (1 - MOMENTUM) * first
        self.second = MOMENTUM * self.second + (1 - MOMENTUM) * second

    def compare(self, layer):
        assert_close(layer.moving_mean, self.first)
        scale = max(1.0, self.second.max())
        variance = self.second - self.first**2
        assert_close(layer.moving_variance / scale, variance / scale)


def batches():
    """Batches whose means differ by more than their deviations."""
    return [inputs(step) + 5 * step for step in range(STEPS)]


def run(layer, mode):
    if mode == "eager":
        return lambda x, mask=None: layer(x, training=True, mask=mask)
    return tf.function(
        lambda x, mask=None: layer(x, training=True, mask=mask),
        jit_compile=mode == "jit",
    )


LAYERS = {
    "BatchNormalization": {},
    "GhostBatchNormalization": {"ghost_batch_size": 4},
    "BatchGroupNormalization": {"groups": 2, "examples_per_group": 2},
    "SwitchableNormalization": {},
    "DynamicNormalization": {},
    "RepresentativeBatchNormalization": {},
}


@pytest.mark.parametrize("mode", ["eager", "graph", "jit"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_moving_averages_of_moments(name, masked, mode):
    layer = getattr(layers, name)(**LAYERS[name], **TOTAL)
    oracle, step = SecondMoments(), run(layer, mode)
    for number, x in enumerate(batches()):
        mask = None
        values = x.reshape(-1, CHANNELS)
        if masked:
            mask = np.random.default_rng(number).random((BATCH, 5)) < 0.6
            values = x[mask].reshape(-1, CHANNELS)
        step(x, mask)
        oracle.update(values.mean(0), (values**2).mean(0))
    oracle.compare(layer)


@pytest.mark.parametrize("statistics", ["batch", "average", "sequential"])
@pytest.mark.parametrize("size", [1, 2, 4, BATCH])
def test_conventions_of_ghost_batches(statistics, size):
    layer = layers.GhostBatchNormalization(
        size, ghost_statistics=statistics, momentum=MOMENTUM, **FLOAT64
    )
    assert layer.running_variance == "total"
    oracle = SecondMoments()
    for x in batches():
        layer(x, training=True)
        ghosts = [x]
        if statistics == "sequential":
            ghosts = np.split(x, range(size, BATCH, size))
        for ghost in ghosts:
            oracle.update(ghost.mean(AXES), (ghost**2).mean(AXES))
    oracle.compare(layer)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("BatchNormalization", {}),
        ("BatchNormalization", {"synchronized": True}),
        ("BatchGroupNormalization", {"groups": 2}),
        ("BatchGroupNormalization", {"groups": 2, "synchronized": True}),
        ("GhostBatchNormalization", {"ghost_batch_size": 2}),
        (
            "GhostBatchNormalization",
            {"ghost_batch_size": 2, "ghost_statistics": "average"},
        ),
        (
            "CrossReplicaBatchNormalization",
            {"replicas_per_group": 1},
        ),
    ],
)
def test_replicas_average_second_moments(strategy, name, arguments, masked):
    """Shards are uneven, the last one is empty, and their means differ."""
    with strategy.scope():
        layer = getattr(layers, name)(**arguments, **TOTAL)
        layer.build((None, 5, 4, CHANNELS))
    oracle = SecondMoments()
    step = tf.function(
        lambda x, mask: strategy.run(
            lambda x, mask: layer(x, training=True, mask=mask), (x, mask)
        )
    )

    def spread(values):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                values[context.replica_id_in_sync_group]
            )
        )

    for number, x in enumerate(batches()):
        x[4:] += 7
        # Further replicas get no examples.
        at = [[4, 1, BATCH, 3][number], *[BATCH] * (REPLICAS - 2)]
        mask = np.ones((BATCH, 5), bool)
        if masked:
            mask = np.random.default_rng(number).random((BATCH, 5)) < 0.6
        step(spread(np.split(x, at)), spread(np.split(mask, at)))
        values = x[mask].reshape(-1, CHANNELS)
        oracle.update(values.mean(0), (values**2).mean(0))
    oracle.compare(layer)


@pytest.mark.parametrize(
    ("arguments", "default"),
    [
        ({}, "within"),
        ({"synchronized": True}, "within"),
        ({"ghost_batch_size": 2}, "total"),
        ({"inference_weight": 0.1}, "total"),
        ({"ghost_batch_size": 2, "renorm": True}, "within"),
        ({"ghost_batch_size": 2, "running_variance": "within"}, "within"),
    ],
)
def test_default(arguments, default):
    layer = layers.BatchNormalization(**arguments)
    assert layer.running_variance == default
    copy = layers.BatchNormalization.from_config(layer.get_config())
    assert copy.running_variance == default


def test_renorm_has_no_total():
    assert refusal(
        layers.BatchNormalization, renorm=True, running_variance="total"
    ) == (
        "`renorm` averages standard deviations of batches, and "
        '`running_variance="total"` averages second moments. Received both. '
        'Use `running_variance="within"` with renorm.'
    )


@pytest.mark.parametrize("mean", [1e4, -1e4])
def test_large_means_keep_the_digits_of_the_variance(mean):
    """Second moments of 1e8 would leave no digit of it in float32."""
    layer = layers.BatchGroupNormalization(2, momentum=0.5)
    layer.build((None, 5, 4, CHANNELS))
    layer.moving_mean.assign(np.full(CHANNELS, mean))
    first, second = np.zeros(CHANNELS), np.ones(CHANNELS)
    for step in range(STEPS):
        x = (inputs(step) + mean).astype("float32")
        layer(x, training=True)
        x = x.astype("float64") - mean
        first = 0.5 * first + 0.5 * x.mean(AXES)
        second = 0.5 * second + 0.5 * (x**2).mean(AXES)
    variance = second - first**2
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-3)
