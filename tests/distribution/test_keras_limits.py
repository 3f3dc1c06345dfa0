"""What Keras's `fit` cannot do under MirroredStrategy, with any layers.

A test fails when a version of Keras can do it: then README.md and
docs/distribution.md need no such warning any more.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import REPLICAS


def fit(strategy, examples, batch, steps_per_execution=1, **options):
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(
            keras.optimizers.SGD(**options),
            "mse",
            steps_per_execution=steps_per_execution,
        )
    x = np.ones((examples, 4), "float32")
    model.fit(x, x[:, :1], batch_size=batch, verbose=0)


def test_equal_batches_work(strategy):
    fit(strategy, 4 * REPLICAS, 2 * REPLICAS)


def test_several_steps_per_execution(strategy):
    """keras#19246."""
    with pytest.raises(Exception, match="must feed a value for placeholder"):
        fit(strategy, 4 * REPLICAS, 2 * REPLICAS, steps_per_execution=2)


def test_gradient_accumulation(strategy):
    with pytest.raises(RuntimeError, match="merge_call"):
        fit(
            strategy,
            4 * REPLICAS,
            2 * REPLICAS,
            gradient_accumulation_steps=2,
        )


@pytest.mark.parametrize("examples", [1, REPLICAS + 1])
def test_a_first_batch_that_replicas_share_unevenly(strategy, examples):
    """keras#19246."""
    wrong = tf.errors.InvalidArgumentError
    with pytest.raises(wrong, match="must have the same size and shape"):
        fit(strategy, examples, examples)
