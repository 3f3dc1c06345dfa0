"""`traced_once` traces a function once for its tensors and options."""

import gc

import numpy as np
import tensorflow as tf

from keras_norms import layers
from keras_norms.native.tracing import traced_once


def called(function, *arguments):
    """The result of a call in a graph."""
    return tf.function(lambda: function(*arguments))().numpy()


def test_equal_numbers_of_other_types_are_other_arguments():
    @traced_once
    def divide(x, number):
        return x + (number // 4 if isinstance(number, int) else number / 4)

    x = tf.constant(1.0)
    assert called(divide, x, 2) == 1.0
    assert called(divide, x, 2.0) == 1.5


def test_arguments_that_are_not_hashable_are_traced_each_time():
    @traced_once
    def scale(x, factors):
        return x * tf.constant(factors)

    x = tf.constant([1.0, 1.0])
    for factors in ([1.0, 2.0], [3.0, 4.0]):
        np.testing.assert_array_equal(called(scale, x, factors), factors)


def test_sizes_of_inputs_leave_no_graphs_in_memory():
    """The functions see small tensors, whose sizes do not depend on these."""
    layer = layers.BatchNormalization()
    layer.build((None, None, 4))

    def graphs(size):
        x = tf.ones((2, size, 4))

        @tf.function
        def step(x):
            with tf.GradientTape() as tape:
                y = layer(x, training=True)
            return tape.gradient(y, layer.trainable_variables[0].value)

        step(x)
        del step
        gc.collect()
        kinds = [type(each).__name__ for each in gc.get_objects()]
        return kinds.count("FuncGraph")

    first = graphs(3)
    assert graphs(4) == graphs(5) == first
