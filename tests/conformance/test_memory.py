"""Models that are created again in one process are freed."""

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
    # Both backends register gradients alike, and these could hold graphs.
    [("auto", d) for d in DESCRIPTORS] + [("never", d) for d in FEW],
    ids=[f"auto-{i}" for i in IDS] + [f"never-{d.id}" for d in FEW],
)
def test_graphs_are_freed_with_their_functions(descriptor, mode):
    """TensorFlow never frees a registered gradient, nor what it refers to."""
    layer = descriptor.create()
    layer.build((None, 3, CHANNELS))
    modes = (True, False) if descriptor.running else (None,)

    def graph(training):
        arguments = {} if training is None else {"training": training}

        def step(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, **arguments)
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
def test_models_leave_no_more_graphs_than_keras(name):
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

    def remaining(package):
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

    assert remaining(keras_norms.layers) <= remaining(keras.layers)


def test_gradient_outlives_the_function_of_the_forward_pass():
    """The graph lives as long as its results can be differentiated."""
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
