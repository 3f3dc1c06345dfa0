"""Running statistics of replicas, inside graphs within the replica's graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.conformance.descriptors import RUNNING
from tests.conftest import REPLICAS
from tests.support.graphs import GRAPHS
from tests.support.graphs import SHAPE
from tests.support.graphs import built
from tests.support.graphs import in_branch
from tests.support.graphs import inputs

# Layers with running statistics that are not synchronized.
UNSYNCHRONIZED = [d for d in RUNNING if not d.create().synchronized]


def per_replica(strategy, function):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(function(context.replica_id_in_sync_group))
    )


@pytest.mark.parametrize(
    "descriptor", UNSYNCHRONIZED, ids=[d.id for d in UNSYNCHRONIZED]
)
def test_replicas_train_and_infer_inside_a_graph(strategy, descriptor):
    """Replicas evaluate the mean of their statistics, which is also saved."""
    call = list(GRAPHS.values())[UNSYNCHRONIZED.index(descriptor) % 3]
    with strategy.scope():
        layer = built(descriptor)
    # The last replica has no example.
    shards = [inputs((4, *SHAPE[1:]), seed) + seed for seed in range(REPLICAS)]
    shards[-1] = shards[-1][:0]

    @tf.function
    def step(x, training):
        return strategy.run(
            lambda x: call(layer, x, training=training), args=(x,)
        )

    x = per_replica(strategy, lambda index: shards[index])
    step(x, True)
    step(x, True)
    single = built(descriptor)
    single.set_weights(layer.get_weights())
    inference = step(x, False)
    for have, want in zip(
        strategy.experimental_local_results(inference), shards, strict=True
    ):
        np.testing.assert_allclose(have, single(want), atol=1e-5)
    # Every replica updates its statistics by itself, then they are averaged.
    means = []
    for shard in shards:
        replica = built(descriptor)
        if len(shard):
            replica(shard, training=True)
            replica(shard, training=True)
        means.append(replica.moving_mean.numpy())
    np.testing.assert_allclose(
        layer.moving_mean, np.mean(means, axis=0), atol=1e-5
    )


class NormalizedCell(keras.layers.Layer):
    """A cell of recurrent batch normalization."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = 6
        self.dense = keras.layers.Dense(6)
        self.norm = layers.BatchNormalization(momentum=0.5)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.norm.build((None, 6))

    def call(self, inputs, states, training=None):
        y = self.norm(self.dense(inputs) + states[0], training=training)
        return y, [y]


def test_fitted_recurrent_cell_is_saved_as_evaluated(strategy, tmp_path):
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((3, 6)),
                keras.layers.RNN(NormalizedCell()),
                keras.layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse")
    x = inputs((8 * REPLICAS, 3, 6)) + np.arange(8 * REPLICAS)[:, None, None]
    y = np.zeros((len(x), 1))
    model.fit(x, y, batch_size=4 * REPLICAS, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    custom = {"NormalizedCell": NormalizedCell}
    loaded = keras.models.load_model(tmp_path / "model.keras", custom)
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5
    )


def test_layer_of_replicas_compiles_outside_of_them(strategy):
    """The mean over replicas would need all devices there."""
    with strategy.scope():
        layer = layers.BatchNormalization()
        layer.build((None, 6))
    layer.moving_mean.assign(np.arange(6))
    x = inputs((4, 6))
    compiled = tf.function(layer, jit_compile=True)
    want = (x - np.arange(6)) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(compiled(x), want, atol=1e-5)


def test_warning_about_inference_traced_before_training(strategy):
    with strategy.scope():
        layer = layers.BatchNormalization(name="norm")
        layer.build((None, 6))
    x = per_replica(strategy, lambda index: inputs((4, 6), index))

    @tf.function
    def step(x, training):
        return strategy.run(
            lambda x: in_branch(layer, x, training=training), args=(x,)
        )

    step(x, False)
    with pytest.warns(UserWarning, match="^norm: ") as warned:
        step(x, True)
    assert {str(warning.message) for warning in warned} == {
        "norm: a function that runs this layer in inference mode was traced "
        "before the first training step, which updates the running statistics "
        "of each replica separately, inside `tf.cond`, `keras.layers.RNN` or "
        "an inner `tf.function`. That function reads the statistics of each "
        "replica instead of their mean, which is saved. To trace it again, "
        "call `model.compile(...)` or create a new `tf.function`."
    }


@pytest.mark.parametrize("name", GRAPHS)
def test_synchronized_layers_refuse_inner_graphs(strategy, name):
    with strategy.scope():
        layer = layers.CrossReplicaBatchNormalization()
        layer.build((None, 6))
    x = per_replica(strategy, lambda index: inputs((4, 6), index))

    @tf.function
    def step(x):
        return strategy.run(
            lambda x: GRAPHS[name](layer, x, training=True), args=(x,)
        )

    with pytest.raises(RuntimeError) as error:
        step(x)
    assert (
        "Statistics of all replicas need an all-reduce, which TensorFlow "
        "allows in the function that `strategy.run` calls, and not in a graph "
        "within it. Received: a synchronized layer inside `tf.cond`, "
        "`tf.while_loop`, `keras.layers.RNN` or an inner `tf.function`, with "
        f"{REPLICAS} replicas. Call the layer outside of it, or pass "
        "`synchronized=False` to the layer."
    ) in str(error.value)


def test_xla_reads_synchronized_statistics_outside_of_replicas(strategy):
    with strategy.scope():
        layer = layers.CrossReplicaBatchNormalization()
        layer.build((None, 6))
    read = tf.function(lambda: layer.moving_variance.value, jit_compile=True)
    np.testing.assert_array_equal(read(), np.ones(6))
