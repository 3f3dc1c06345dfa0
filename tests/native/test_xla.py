"""XLA compiles layers with the library, without it and for any batch size."""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import cache
from tests.support.native_library import X
from tests.support.native_library import built
from tests.support.native_library import operations
from tests.support.native_library import process


@built
def test_what_is_traced_plain_is_compiled_later():
    """In a process that has compiled nothing before."""
    code = (
        "inner = tf.function(layer)\n"
        "plain = inner(x)\n"
        "compiled = tf.function(inner, jit_compile=True)(x)\n"
        "np.testing.assert_allclose(plain, compiled, atol=1e-6)\n"
        "print('same')\n"
    )
    assert "same" in process(code)


@built
def test_without_xla_s_part_compiled_functions_are_composed(copied):
    (copied.parent / cache.XLA_LIBRARY).unlink()
    code = """
assert native(layer, x)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    y = tf.function(layer, jit_compile=True)(x)
assert "keras_norms build" in str(caught[0].message)
np.testing.assert_allclose(y, layer(x), atol=1e-6)
print("good")
"""
    assert "good" in process(code, KERAS_NORMS_CACHE=str(copied.parents[1]))


@built
def test_inference_is_composed():
    """XLA then fuses it with its neighbors."""
    layer, x = layers.BatchNormalization(), tf.constant(X)

    @tf.function(jit_compile=True)
    def infer(x):
        return layer(x)

    @tf.function(jit_compile=True)
    def train(x):
        return layer(x, training=True)

    with ops.using_native("always"):
        assert operations(train, x) == ["GroupNorm"]
        assert operations(infer, x) == []
    np.testing.assert_allclose(infer(x), tf.function(layer)(x), atol=1e-6)


DYNAMIC = {
    "group": lambda: layers.GroupNormalization(groups=4, activation="silu"),
    "instance": lambda: layers.InstanceNormalization(axis=1),
    "batch": lambda: layers.BatchNormalization(momentum=0.5),
    "switchable": lambda: layers.SwitchableNormalization(activation="gelu"),
    "depthwise": layers.EnhancedAffine,
    "unified": layers.UnifiedBatchNormalization,
}


@built
@pytest.mark.parametrize("masked", [False, True])
def test_batches_that_depend_on_values_are_compiled(masked):
    """XLA pads what `tf.boolean_mask` gives; padding must not count."""
    norms = [make() for make in DYNAMIC.values()]
    alone = [make() for make in DYNAMIC.values()]
    for layer in (*norms, *alone):
        layer.build(X.shape)
    mask = np.random.default_rng(1).random((5, 6)) < 0.7

    def run(which, x, mask, select):
        results = []
        for layer in which:
            running = hasattr(layer, "momentum")
            how = {"training": True} if running else {}
            # Channels first, the other reading of this mask is refused.
            if masked and layer.axis == -1:
                how["mask"] = select(mask)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(select(x), **how)
                loss = tf.reduce_sum(y**3)
            weights = [v.value for v in layer.trainable_variables]
            gradients = tape.gradient(loss, [x, *weights])
            results.append([loss, *gradients])
        return results

    @tf.function(jit_compile=True)
    def compiled(x, mask, selected):
        return run(norms, x, mask, lambda t: tf.boolean_mask(t, selected))

    arguments = tf.constant(X), tf.constant(mask)
    for selected in ([1, 0, 1, 1, 0], [0] * 5, [1] * 5):
        selected = tf.constant(np.array(selected, bool))
        with ops.using_native("always"):
            have = compiled(*arguments, selected)
        with ops.using_native("never"):
            want = run(
                alone,
                *arguments,
                lambda t, selected=selected: tf.boolean_mask(t, selected),
            )
        pairs = zip(tf.nest.flatten(have), tf.nest.flatten(want), strict=True)
        for a, b in pairs:
            scale = max(1.0, float(tf.reduce_max(tf.abs(b))))
            # A gradient of a softmax's logits is a difference of large sums,
            # which XLA rounds in another way on each instruction set.
            atol = 1e-4 if b.shape == (3,) else 2e-5
            np.testing.assert_allclose(a / scale, b / scale, atol=atol)
        for one, other in zip(norms, alone, strict=True):
            for a, b in zip(one.weights, other.weights, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)


_VALUE_DEPENDENT = (
    "Under XLA, the batch size is the only size of an input of the native "
    "library that may depend on values, and only without ghost batches, in "
    "functions that are first called under XLA. Received: dimension 0 has a "
    "dynamic size. Trace the function within "
    "keras_norms.ops.using_native('never')."
)


@built
def test_ghost_batches_of_a_batch_that_depends_on_values_are_refused():
    layer = layers.GhostBatchNormalization(ghost_batch_size=2)
    layer.build(X.shape)

    @tf.function(jit_compile=True)
    def some(x, selected):
        return layer(tf.boolean_mask(x, selected), training=True)

    arguments = tf.constant(X), tf.constant([True, False, True, True, False])
    refusing = pytest.raises(tf.errors.InvalidArgumentError)
    with ops.using_native("always"), refusing as refused:
        some(*arguments)
    assert _VALUE_DEPENDENT in str(refused.value)


@built
def test_a_batch_that_depends_on_values_in_a_function_traced_before():
    """The kernel of a whole batch would count the padding."""
    layer = layers.BatchNormalization()
    layer.build(X.shape)
    shape = tf.TensorSpec([None, *X.shape[1:]])
    inner = tf.function(
        lambda x: layer(x, training=True), input_signature=[shape]
    )

    @tf.function(jit_compile=True)
    def some(x, selected):
        return inner(tf.boolean_mask(x, selected))

    arguments = tf.constant(X), tf.constant([True, False, True, True, False])
    refusing = pytest.raises(tf.errors.InvalidArgumentError)
    with ops.using_native("always"):
        inner(tf.constant(X))
        with refusing as refused:
            some(*arguments)
    assert _VALUE_DEPENDENT in str(refused.value)
