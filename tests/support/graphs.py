"""Calls of layers inside branches, loops and inner functions."""

import numpy as np
import tensorflow as tf

SHAPE = (4, 3, 6)


def built(descriptor, shape=SHAPE):
    layer = descriptor.create()
    layer.build((None, *shape[1:]))
    return layer


def inputs(shape=SHAPE, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=shape).astype("float32")


def in_branch(layer, x, **arguments):
    yes = tf.reduce_sum(x * x) > -1.0
    return tf.cond(yes, lambda: layer(x, **arguments), lambda: x)


def in_inner_function(layer, x, **arguments):
    return tf.function(lambda x: layer(x, **arguments))(x)


def in_loop(layer, x, **arguments):
    def body(step, y):
        return step + 1, layer(x, **arguments)

    return tf.while_loop(lambda step, _: step < 1, body, (0, x))[1]


GRAPHS = {"cond": in_branch, "inner": in_inner_function, "while": in_loop}
