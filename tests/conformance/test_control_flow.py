"""Layers inside conditionals, loops and inner functions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS
from tests.support.graphs import SHAPE
from tests.support.graphs import built
from tests.support.graphs import in_inner_function
from tests.support.graphs import in_loop
from tests.support.graphs import inputs

IMAGES = (4, 3, 2, 6)
# One layer for each kind of forward and backward pass.
FAMILIES = (
    "GroupNormalization",
    "BatchNormalization",
    "SwitchableNormalization",
)


CONDITIONALS = {
    "cond": tf.cond,
    "keras": keras.ops.cond,
    "nested": lambda p, a, b: tf.cond(p, lambda: tf.cond(p, a, b), b),
    "inner": lambda p, a, b: tf.cond(p, tf.function(a), b),
}


@pytest.mark.parametrize("name", CONDITIONALS)
def test_compiled_conditionals_with_unknown_batch_size(name):
    """XLA gives a dynamic size to the tensors that a branch saves.

    `tf.switch_case` is not tested: TensorFlow crashes in its gradient for
    every layer.
    """
    norms = [
        (built(d, IMAGES), d.training)
        for d in DESCRIPTORS
        if d.name in FAMILIES
    ]

    def branch(x, predicate):
        gradients = []
        for layer, training in norms:
            with tf.GradientTape() as tape:
                tape.watch(x)
                # The branch saves this sum, whose size is dynamic.
                y = CONDITIONALS[name](
                    predicate,
                    lambda layer=layer, call=training: layer(x + 0.5, **call),
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


@pytest.mark.slow
@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
def test_second_derivatives_inside_graphs(descriptor):
    """The gradient penalty of generative adversarial networks."""
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
                lambda x, **arguments: call(layer, x, **arguments)
            )
        np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-4)


MASK = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], "bool")


@pytest.mark.parametrize("training", ["number", "tensor"])
@pytest.mark.parametrize("name", FAMILIES)
def test_second_derivatives_of_masked_calls(name, training):
    """The inner function computes the mask and `training`."""
    arguments = {"groups": 3} if name == "GroupNormalization" else {}
    layer = getattr(layers, name)(**arguments)
    layer.build((None, *SHAPE[1:]))

    def call(x):
        arguments = {"mask": tf.logical_not(tf.logical_not(tf.constant(MASK)))}
        if name != "GroupNormalization":
            arguments["training"] = True
            if training == "tensor":
                arguments["training"] = tf.reduce_sum(x * x) > 0.0
        return layer(x, **arguments)

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
