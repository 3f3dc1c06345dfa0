"""Models of many synchronized layers: no deadlock, whatever the reduction."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms.layers import CrossReplicaBatchNormalization
from tests.conftest import REPLICAS
from tests.distribution.models import SHAPE
from tests.distribution.models import batches
from tests.distribution.models import data


def branched(layers):
    """Pairs of parallel branches, and a layer that all pairs share."""
    inputs = keras.Input(SHAPE)
    shared = CrossReplicaBatchNormalization()
    x = inputs
    for _ in range(layers // 2):
        left = CrossReplicaBatchNormalization(activation="relu")(x)
        right = CrossReplicaBatchNormalization()(x)
        x = shared(keras.layers.Add()([left, right]))
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    return model


def weights_after(strategy, layers, steps, **options):
    """The weights of a model after some steps under a strategy."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = branched(layers)
        model.compile(keras.optimizers.SGD(1e-3), "mse", **options)
    x, y = data(4 * REPLICAS * steps)
    model.fit(batches(x, y, 4 * REPLICAS), verbose=0)
    return model.get_weights()


def test_reductions_give_the_same_weights():
    """In another process: see `reductions.py`."""
    program = [sys.executable, "-m", "tests.distribution.reductions"]
    result = subprocess.run(program, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    default, *others = json.loads(result.stdout)
    assert len(others) == 3
    for weights in others:
        for have, want in zip(weights, default, strict=True):
            np.testing.assert_allclose(have, want, atol=1e-5)


def test_eager_and_graph_give_the_same_weights(strategy):
    for have, want in zip(
        weights_after(strategy, 4, 3, run_eagerly=True),
        weights_after(strategy, 4, 3),
        strict=True,
    ):
        np.testing.assert_allclose(have, want, atol=1e-6)


def test_mixed_precision_with_loss_scaling(strategy):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        halves = weights_after(strategy, 4, 3)
    finally:
        keras.config.set_dtype_policy(policy)
    for have, want in zip(halves, weights_after(strategy, 4, 3), strict=True):
        np.testing.assert_allclose(have, want, atol=5e-3)


@pytest.mark.slow
def test_50_layers_run_50_times(strategy):
    weights = weights_after(strategy, 50, 50)
    assert all(np.isfinite(weight).all() for weight in weights)


def test_steps_in_a_loop(strategy):
    """`for _ in tf.range(n): strategy.run(step)` in one graph."""
    with strategy.scope():
        layer = CrossReplicaBatchNormalization(momentum=0.5)
        layer.build((None, *SHAPE))
    x, _ = data(4)

    @tf.function
    def steps(number):
        for _ in tf.range(number):
            strategy.run(lambda: layer(x, training=True))

    steps(tf.constant(3))
    mean = x.mean((0, 1), dtype="float64")
    np.testing.assert_allclose(layer.moving_mean, mean * 7 / 8, rtol=1e-5)
