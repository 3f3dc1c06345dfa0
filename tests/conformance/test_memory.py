"""Models that are made anew in one process do not stay in memory."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms
from keras_norms import ops
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS

X = np.random.default_rng(0).normal(size=(4, 3, CHANNELS)).astype("float32")
FEW = [d for d in DESCRIPTORS if d.name.startswith(("Switch", "Group"))]


def alive(references):
    gc.collect()
    gc.collect()
    return [reference() for reference in references if reference() is not None]


@pytest.mark.parametrize(
    ("mode", "descriptor"),
    # What holds graphs is how gradients are kept: by the two passes alike.
    [("auto", d) for d in DESCRIPTORS] + [("never", d) for d in FEW],
    ids=[f"auto-{i}" for i in IDS] + [f"never-{d.id}" for d in FEW],
)
def test_graphs_end_with_their_functions(descriptor, mode):
    """TensorFlow holds every custom gradient, and so its graph, for good."""
    layer = descriptor.create()
    layer.build((None, 3, CHANNELS))
    modes = (True, False) if descriptor.running else (None,)

    def graph(training):
        how = {} if training is None else {"training": training}

        def step(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, **how)
            return tape.gradient(y, x)

        function = tf.function(step)
        function(tf.constant(X))
        concrete = function.get_concrete_function(tf.constant(X))
        return weakref.ref(concrete.graph)

    with ops.using_native(mode):
        graphs = [graph(training) for training in modes]
    assert not alive(graphs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BatchNormalization", "GroupNormalization"])
def test_no_more_graphs_stay_than_of_keras_s_layers(name):
    def build(package, **arguments):
        model = keras.Sequential(
            [
                keras.Input((3, CHANNELS)),
                getattr(package, name)(**arguments),
                keras.layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse")
        y = np.ones((4, 3, 1))
        model.fit(X, y, verbose=0)
        model.evaluate(X, y, verbose=0)
        model.predict(X, verbose=0)

    def kept(package):
        arguments = {"groups": 2} if name.startswith("Group") else {}
        build(package, **arguments)
        before = len(graphs())
        for _ in range(3):
            build(package, **arguments)
        return len(graphs()) - before

    def graphs():
        gc.collect()
        gc.collect()
        kind = type(tf.function(lambda: 1.0).get_concrete_function().graph)
        return [o for o in gc.get_objects() if isinstance(o, kind)]

    assert kept(keras_norms.layers) <= kept(keras.layers)


def test_a_gradient_outlives_the_function_that_made_its_forward_pass():
    """The graph is held by what can still be differentiated."""
    x = tf.constant(X)
    layer = DESCRIPTORS[3].create()
    layer.build(X.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.function(lambda x: layer(x, training=True))(x)
        gc.collect()
    have = tape.gradient(y, x, tf.constant(X))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    want = tape.gradient(y, x, tf.constant(X))
    np.testing.assert_allclose(have, want, atol=1e-5)
