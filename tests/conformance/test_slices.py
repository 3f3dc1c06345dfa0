"""Gradients that arrive as `tf.IndexedSlices`, as those of a gather do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.engine.layout import Layout
from keras_norms.native import ops as native_ops
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS
from tests.support.graphs import SHAPE
from tests.support.graphs import built
from tests.support.graphs import inputs

SLICES = {
    "gather": lambda y: tf.gather(y, [0, 2, 2]),
    "take": lambda y: keras.ops.take(y, [0, 2, 2], axis=0),
    "lookup": lambda y: tf.nn.embedding_lookup(y, [0, 2, 2]),
}


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
@pytest.mark.parametrize("mode", ["auto", "never"])
def test_upstream_gradients_as_slices(descriptor, mode):
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
            select = slices[IDS.index(descriptor.id) % len(slices)]
            return dense, gradients(select, x)

    want, have = run(tf.constant(inputs()))
    for a, b in zip(want, have, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["auto", "never"])
def test_slices_for_moments_and_for_gradients(mode):
    def loss(x, select):
        moments = ops.instance_moments(x).pool(examples=2)
        results = [moments.mean, moments.variance]
        y = ops.group_normalization(x, groups=3, activation=tf.nn.silu)
        first = tf.gradients(tf.reduce_sum(y**3), x)[0]
        selected = [select(t) for t in (*results, first)]
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


def test_slices_for_single_operations():
    x = tf.constant(inputs())
    layout = Layout(x)
    means = tf.reduce_mean(x, axis=1)
    rows = [0, 2, 2]

    def loss(x, select):
        settings = (3, 1e-3, "relu", layout)
        y = native_ops.group_norm(x, None, None, *settings)[0]
        z = native_ops.apply(x, None, (means, means, means), "silu", layout)
        _, mean, variance, _ = native_ops.moments(x, None, layout)
        results = (y, z, mean, variance)
        return sum(tf.reduce_sum(select(t) ** 3) for t in results)

    @tf.function
    def run(x):
        stacked = loss(x, lambda t: tf.stack([t[row] for row in rows]))
        gathered = loss(x, lambda t: tf.gather(t, rows))
        return tf.gradients(stacked, x)[0], tf.gradients(gathered, x)[0]

    want, have = run(x)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def test_fit_of_a_graph_network():
    """Edges gather the features of their nodes, after a dropout."""
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
