"""Layers inside and before what TensorFlow gives a graph of its own.

Conditionals, loops, inner functions, and gradients that arrive as slices.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.engine.layout import Layout
from keras_norms.native import ops as native_ops
from tests.conftest import REPLICAS
from tests.descriptors import DESCRIPTORS
from tests.descriptors import IDS
from tests.descriptors import RUNNING

SHAPE = (4, 3, 6)
IMAGES = (4, 3, 2, 6)
# One layer for each of the ways to run the two passes.
FAMILIES = (
    "GroupNormalization",
    "BatchNormalization",
    "SwitchableNormalization",
)


# Unsynchronized layers with running statistics.
ALONE = [d for d in RUNNING if not d.create().synchronized]


def built(descriptor, shape=SHAPE):
    layer = descriptor.create()
    layer.build((None, *shape[1:]))
    return layer


def inputs(shape=SHAPE, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=shape).astype("float32")


SLICES = {
    "gather": lambda y: tf.gather(y, [0, 2, 2]),
    "take": lambda y: keras.ops.take(y, [0, 2, 2], axis=0),
    "lookup": lambda y: tf.nn.embedding_lookup(y, [0, 2, 2]),
}


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
@pytest.mark.parametrize("mode", ["auto", "never"])
def test_gradients_may_arrive_as_slices(descriptor, mode):
    """In graphs the gradient of a gather is a `tf.IndexedSlices`."""
    layer = built(descriptor)
    slices = list(SLICES.values())
    one_hot = np.eye(SHAPE[0], dtype="float32")[[0, 2, 2]]

    def gradients(select, x):
        weights = [v.value for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = select(layer(x, **descriptor.training))
            loss = tf.reduce_sum(y**3)
        return tape.gradient(loss, [x, *weights])

    @tf.function
    def run(x):
        with ops.using_native(mode):
            dense = gradients(
                lambda y: tf.einsum("kn,nsc->ksc", one_hot, y), x
            )
            kind = slices[IDS.index(descriptor.id) % len(slices)]
            return dense, gradients(kind, x)

    want, have = run(tf.constant(inputs()))
    for a, b in zip(want, have, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["auto", "never"])
def test_gradients_of_moments_and_of_gradients_may_arrive_as_slices(mode):
    def loss(x, select):
        moments = ops.instance_moments(x).pool(examples=2)
        parts = [moments.mean, moments.variance]
        y = ops.group_normalization(x, groups=3, activation=tf.nn.silu)
        first = tf.gradients(tf.reduce_sum(y**3), x)[0]
        selected = [select(t) for t in (*parts, first)]
        return tf.add_n([tf.reduce_sum(t**3) for t in selected])

    @tf.function
    def run(x):
        with ops.using_native(mode):
            rows = [0, 2, 2]
            dense = loss(x, lambda t: tf.stack([t[row] for row in rows]))
            gathered = loss(x, lambda t: tf.gather(t, rows))
            return tf.gradients(dense, x)[0], tf.gradients(gathered, x)[0]

    want, have = run(tf.constant(inputs()))
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)


def test_gradients_of_single_operations_may_arrive_as_slices():
    x = tf.constant(inputs())
    layout = Layout(x)
    table = tf.reduce_mean(x, axis=1)
    rows = [0, 2, 2]

    def loss(x, select):
        how = (3, 1e-3, "relu", 2)
        y = native_ops.group_norm(x, None, None, *how)[0]
        z = native_ops.apply(x, None, (table, table, table), "silu", layout)
        _, mean, variance, _ = native_ops.moments(x, None, layout)
        parts = (y, z, mean, variance)
        return sum(tf.reduce_sum(select(t) ** 3) for t in parts)

    @tf.function
    def run(x):
        stacked = loss(x, lambda t: tf.stack([t[row] for row in rows]))
        gathered = loss(x, lambda t: tf.gather(t, rows))
        return tf.gradients(stacked, x)[0], tf.gradients(gathered, x)[0]

    want, have = run(x)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def test_a_graph_network_is_fitted():
    """Edges gather the features of their nodes, behind a dropout."""
    nodes = keras.Input((6,))
    edges = keras.Input((2,), dtype="int32")
    h = layers.BatchNormalization(activation="relu")(nodes)
    h = layers.GroupNormalization(groups=2)(keras.layers.Dropout(0.2)(h))
    ends = keras.ops.take(h, edges[:, 0], axis=0)
    model = keras.Model([nodes, edges], keras.layers.Dense(1)(ends))
    model.compile("sgd", "mse")
    random = np.random.default_rng(0)
    data = [random.normal(size=(8, 6)), random.integers(0, 4, (8, 2))]
    history = model.fit(data, np.zeros((8, 1)), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"][0])


CONDITIONALS = {
    "cond": tf.cond,
    "keras": keras.ops.cond,
    "nested": lambda p, a, b: tf.cond(p, lambda: tf.cond(p, a, b), b),
    "inner": lambda p, a, b: tf.cond(p, tf.function(a), b),
}


@pytest.mark.parametrize("name", CONDITIONALS)
def test_compiled_conditionals_with_an_unknown_batch(name):
    """XLA gives what a branch saves for the gradient a dynamic size.

    `tf.switch_case` is not among these: with its gradient TensorFlow crashes
    for every layer.
    """
    given = [d for d in DESCRIPTORS if d.name in FAMILIES]
    norms = [(built(d, IMAGES), d.training) for d in given]

    def branch(x, predicate):
        gradients = []
        for layer, training in norms:
            with tf.GradientTape() as tape:
                tape.watch(x)
                # The branch saves the sum: its size is the dynamic one.
                y = CONDITIONALS[name](
                    predicate,
                    lambda layer=layer, how=training: layer(x + 0.5, **how),
                    lambda: 2.0 * x,
                )
                loss = tf.reduce_sum(y**3)
            weights = [v.value for v in layer.trainable_variables]
            gradients.append(tape.gradient(loss, [x, *weights]))
        return gradients

    spec = [tf.TensorSpec((None, *IMAGES[1:])), tf.TensorSpec((), "bool")]
    compiled = tf.function(branch, jit_compile=True, input_signature=spec)
    x = tf.constant(inputs(IMAGES))
    have = compiled(x, tf.constant(True))
    want = branch(x, tf.constant(True))
    for a, b in zip(tf.nest.flatten(want), tf.nest.flatten(have), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-4)


def in_branch(layer, x, **how):
    yes = tf.reduce_sum(x * x) > -1.0
    return tf.cond(yes, lambda: layer(x, **how), lambda: x)


def in_inner_function(layer, x, **how):
    return tf.function(lambda x: layer(x, **how))(x)


def in_loop(layer, x, **how):
    def body(step, y):
        return step + 1, layer(x, **how)

    return tf.while_loop(lambda step, _: step < 1, body, (0, x))[1]


GRAPHS = {"cond": in_branch, "inner": in_inner_function, "while": in_loop}


def per_replica(strategy, function):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(function(context.replica_id_in_sync_group))
    )


@pytest.mark.parametrize("descriptor", ALONE, ids=[d.id for d in ALONE])
def test_replicas_train_and_infer_inside_a_graph(strategy, descriptor):
    """What is evaluated in replicas is what is saved, the mean of theirs."""
    call = list(GRAPHS.values())[ALONE.index(descriptor) % 3]
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
    alone = built(descriptor)
    alone.set_weights(layer.get_weights())
    inference = step(x, False)
    for have, want in zip(
        strategy.experimental_local_results(inference), shards, strict=True
    ):
        np.testing.assert_allclose(have, alone(want), atol=1e-5)
    # An average of one-sided updates: each replica's first, then their mean.
    means = []
    for shard in shards:
        one = built(descriptor)
        if len(shard):
            one(shard, training=True)
            one(shard, training=True)
        means.append(one.moving_mean.numpy())
    np.testing.assert_allclose(
        layer.moving_mean, np.mean(means, axis=0), atol=1e-5
    )


class NormalizedCell(keras.layers.Layer):
    """A recurrent cell with a batch norm, as recurrent batch norm has it."""

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


def test_a_recurrent_cell_is_fitted_and_saved_as_evaluated(strategy, tmp_path):
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


def test_models_of_replicas_are_compiled_outside_of_them(strategy):
    """Reading the mean of all replicas would take all devices there."""
    with strategy.scope():
        layer = layers.BatchNormalization()
        layer.build((None, 6))
    layer.moving_mean.assign(np.arange(6))
    x = inputs((4, 6))
    compiled = tf.function(layer, jit_compile=True)
    want = (x - np.arange(6)) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(compiled(x), want, atol=1e-5)


def test_inference_that_was_traced_before_is_warned_of(strategy):
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
def test_synchronized_layers_refuse_a_graph_in_words(strategy, name):
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
        f"{REPLICAS} replicas. Call the layer outside of it, or give it "
        "`synchronized=False`."
    ) in str(error.value)


def test_synchronized_statistics_are_read_by_xla_outside_of_replicas(strategy):
    with strategy.scope():
        layer = layers.CrossReplicaBatchNormalization()
        layer.build((None, 6))
    read = tf.function(lambda: layer.moving_variance.value, jit_compile=True)
    np.testing.assert_array_equal(read(), np.ones(6))


@pytest.mark.slow
@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
def test_gradients_of_gradients_inside_a_graph(descriptor):
    """The penalty on gradients that generative networks are trained with."""
    layer = built(descriptor)
    call = (in_inner_function, in_loop)[DESCRIPTORS.index(descriptor) % 2]

    def penalty(x, run):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(run(x, **descriptor.training)))
        return tf.reduce_sum(tape.gradient(loss, x) ** 2)

    def derivative(run):
        x = tf.constant(inputs())
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = penalty(x, run)
        return tape.gradient(loss, x)

    with ops.using_native("never"):
        want = derivative(layer)
    assert np.abs(want).max() > 1e-3
    for mode in ("auto", "never"):
        with ops.using_native(mode):
            found = tf.function(derivative)(
                lambda x, **how: call(layer, x, **how)
            )
        np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-4)


MASK = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], "bool")


@pytest.mark.parametrize("training", ["number", "tensor"])
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_gradients_of_masked_calls(name, training):
    """The mask, and `training`, are computed in the inner function."""
    arguments = {"groups": 3} if name == "GroupNormalization" else {}
    layer = getattr(layers, name)(**arguments)
    layer.build((None, *SHAPE[1:]))

    def call(x):
        how = {"mask": tf.logical_not(tf.logical_not(tf.constant(MASK)))}
        if name != "GroupNormalization":
            how["training"] = True
            if training == "tensor":
                how["training"] = tf.reduce_sum(x * x) > 0.0
        return layer(x, **how)

    def derivative(run):
        x = tf.constant(inputs())
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(run(x)))
            penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(penalty, x)

    with ops.using_native("never"):
        want = derivative(call)
    assert np.abs(want).max() > 1e-2
    found = tf.function(derivative)(tf.function(call))
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-4)
