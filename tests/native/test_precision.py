"""Sums keep small values and have the same bits with any number of threads."""

import numpy as np
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.support.native_library import X
from tests.support.native_library import both_ways
from tests.support.native_library import built
from tests.support.native_library import process


@built
def test_bits_do_not_depend_on_the_number_of_threads():
    code = """
import hashlib
x = tf.random.stateless_normal((3, 40, 41, 96), (1, 2)) + 100
digest = hashlib.sha256()
for layer, call in (
    (layers.GroupNormalization(activation="silu"), {}),
    (layers.BatchNormalization(), {"training": True}),
    (layers.DynamicNormalization(), {"training": True}),
):
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **call)
        loss = y**2
    for each in (y, tape.gradient(loss, x)):
        digest.update(each.numpy().tobytes())
print(digest.hexdigest())
"""
    digests = [process(code, THREADS=str(n)) for n in (1, 2, 2, 5)]
    assert len(set(digests)) == 1


@built
def test_results_wider_than_x_are_not_rounded_to_x():
    x, dy = tf.cast(X, "float16"), 1e5 * tf.cast(X, "float32")

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, _ = ops.normalize(
                x, lambda m: ops.affine(m, 1e5), dtype="float32"
            )
        return y, tf.cast(tape.gradient(y, x, dy * 1e-6), "float32")

    ours, composed = both_ways(gradient)
    np.testing.assert_allclose(ours[0], composed[0], rtol=1e-5, atol=1e-1)
    np.testing.assert_allclose(ours[1], composed[1], rtol=2e-3, atol=1e-1)


@built
def test_the_smallest_halves_count_in_sums():
    """TensorFlow's threads read subnormal floats as 0."""
    tiny = 2.0**-20
    dy = np.full((1, 2, 3), tiny, "float16")
    layer = layers.GroupNormalization(groups=1, dtype="mixed_float16")
    layer.build((None, 2, 3))
    x = tf.constant(np.arange(6.0).reshape(1, 2, 3), "float16")
    with ops.using_native("always"), tf.GradientTape() as tape:
        y = layer(x)
    beta = tape.gradient(y, layer.beta.value, tf.constant(dy))
    np.testing.assert_array_equal(beta, np.full(3, 2 * tiny, "float32"))
