"""Faults of Keras's batch normalization under MirroredStrategy.

Each docstring says what keras.layers does, in Keras 3.15.1 on TensorFlow 2.21,
and where users reported it. Our layers must not have the fault.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.conftest import REPLICAS
from tests.references import oracles
from tests.support.native_library import built

RNG = np.random.default_rng(0)


def fit(strategy, layer, examples, batch, **options):
    """A model trained under a strategy on noise; its weights and losses."""
    x = RNG.normal(2, 3, (examples, 4, 6)).astype("float32")
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((4, 6)), layer(), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse", **options)
    data = tf.data.Dataset.from_tensor_slices((x, np.zeros((examples, 4, 1))))
    history = model.fit(data.batch(batch), epochs=2, verbose=0)
    return model, x, history.history["loss"]


def test_moving_statistics_differ_between_replicas(strategy, tmp_path):
    """Every replica of Keras's unsynchronized layer keeps its own statistics.

    A saved model holds those of the first replica, so it predicts otherwise
    than the model in memory. keras#20601, keras#20568, tensorflow#46488.
    """
    model, x, _ = fit(strategy, layers.BatchNormalization, 32, 8)
    values = strategy.experimental_local_results(
        model.layers[0].moving_mean.value
    )
    for value in values:
        np.testing.assert_array_equal(value, values[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6
    )


@pytest.mark.parametrize(
    "name", ["BatchNormalization", "GhostBatchNormalization"]
)
def test_nan_from_an_empty_replica(strategy, name):
    """A replica without examples makes every weight NaN in Keras.

    The moments of its empty batch are NaN, and the all-reduce of gradients
    spreads them. tensorflow#52986, tensorflow#87432, keras#11858.
    """
    model, _, losses = fit(strategy, getattr(layers, name), 17, 16)
    assert np.isfinite(losses).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_masked_statistics_are_not_synchronized(strategy):
    """With a mask, Keras ignores `synchronized=True` without a warning."""

    def step(x, mask):
        return layer(x, training=True, mask=mask)

    with strategy.scope():
        layer = layers.BatchNormalization(synchronized=True, momentum=0.0)
        layer.build((None, 3, 6))
    x = [RNG.normal(i, 1, (2, 3, 6)) for i in range(REPLICAS)]
    mask = [RNG.random((2, 3)) < 0.5 for _ in range(REPLICAS)]
    spread = strategy.experimental_distribute_values_from_function
    inputs = [
        spread(lambda c, v=v: tf.constant(v[c.replica_id_in_sync_group]))
        for v in (x, mask)
    ]
    tf.function(lambda *a: strategy.run(step, a))(*inputs)
    mean, _ = oracles.moments(np.concatenate(x), -1, np.concatenate(mask))
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-6)


def graph_of(strategy, layer, gradient=True):
    """The operations of a call of a layer on all replicas."""
    with strategy.scope():
        layer.build((None, 5, 6))

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x) if gradient else y

    run = tf.function(lambda x: strategy.run(step, [x]))
    concrete = run.get_concrete_function(tf.ones((4, 5, 6)))
    return [each.type for each in concrete.graph.get_operations()]


def test_five_all_reduces_per_layer(strategy):
    """Keras runs three all-reduces forward and two backward per layer.

    One forward and one backward are enough. Users report hangs with many small
    all-reduces: tensorflow#42051, tensorflow#42111.
    """

    def collectives(gradient):
        layer = layers.BatchNormalization(synchronized=True)
        graph = graph_of(strategy, layer, gradient)
        return graph.count("CollectiveReduceV2") / REPLICAS

    assert collectives(gradient=False) == 1
    assert collectives(gradient=True) == 2


@built
def test_tracing_adds_no_more_operations_than_for_keras(strategy):
    """The time to trace a model follows from their number."""
    with ops.using_native("always"):
        ours, of_keras = (
            len(graph_of(strategy, each.BatchNormalization(synchronized=True)))
            for each in (layers, keras.layers)
        )
    assert ours <= of_keras


def test_renorm_statistics_differ_between_replicas(strategy):
    """Keras's renorm, back since keras#22047, does not aggregate them."""
    model, _, _ = fit(
        strategy, lambda: layers.BatchNormalization(renorm=True), 32, 8
    )
    for table in model.layers[0].non_trainable_variables:
        values = strategy.experimental_local_results(table.value)
        for value in values:
            np.testing.assert_array_equal(value, values[0])
