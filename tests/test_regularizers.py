"""The penalty that pulls gamma to one."""

import numpy as np
import tensorflow as tf

from keras_norms import regularizers
from tests.support.samples import assert_close


def test_pull_to_one_is_weight_decay_of_gamma_minus_1():
    regularizer = regularizers.PullToOne(0.02)
    gamma = tf.Variable(np.linspace(-1, 3, 7))
    with tf.GradientTape() as tape:
        penalty = regularizer(gamma)
    assert_close(tape.gradient(penalty, gamma), 0.02 * (gamma.numpy() - 1))
    assert_close(penalty, 0.01 * ((gamma.numpy() - 1) ** 2).sum())
    assert regularizer(tf.ones(5)) == 0
