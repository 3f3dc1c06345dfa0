"""Batches that replicas share unevenly, down to no example, train any model.

Keras's unsynchronized batch norm makes every weight NaN there.
"""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import REPLICAS
from tests.distribution.models import SHAPE
from tests.distribution.models import data
from tests.distribution.models import every_norm
from tests.distribution.models import model_with

pytestmark = pytest.mark.slow

SIZES = range(1, 21)


def uneven_batches(strategy):
    """Batches of all sizes, which the strategy spreads over its replicas."""
    x, y = data(max(SIZES))

    def generate():
        for size in SIZES:
            yield x[:size], y[:size]

    signature = (
        tf.TensorSpec((None, *SHAPE), "float32"),
        tf.TensorSpec((None, 3), "float32"),
    )
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=signature
    )
    return strategy.experimental_distribute_dataset(dataset)


@pytest.mark.parametrize("name", every_norm())
def test_weights_stay_finite(strategy, name):
    with strategy.scope():
        model = model_with(every_norm()[name])
        optimizer = keras.optimizers.SGD(1e-3)
        optimizer.build(model.trainable_variables)
    weights = [weight.value for weight in model.trainable_variables]

    def replica_step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, weights)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    batches = uneven_batches(strategy)

    @tf.function(input_signature=batches.element_spec)
    def step(x, y):
        losses = strategy.run(replica_step, (x, y))
        return strategy.reduce("SUM", losses, axis=None)

    for size, batch in zip(SIZES, batches, strict=True):
        assert np.isfinite(step(*batch)), size
        for weight in model.variables:
            for local in strategy.experimental_local_results(weight.value):
                assert np.isfinite(local).all(), (size, weight.path)


@pytest.mark.skipif(REPLICAS != 2, reason="two replicas start the others")
@pytest.mark.parametrize("replicas", [1, 4])
def test_other_numbers_of_replicas(replicas):
    command = [sys.executable, "-m", "pytest", "-q", __file__]
    environment = {**os.environ, "KERAS_NORMS_TEST_REPLICAS": str(replicas)}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stdout
