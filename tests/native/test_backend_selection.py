"""Layers run native operations unless the mode or an argument forbids it."""

import dataclasses
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import dispatch
from tests.support.native_library import X
from tests.support.native_library import both_ways
from tests.support.native_library import built
from tests.support.native_library import operations
from tests.support.refusals import refusal

FUSED = ["GroupNorm", "GroupNormGradient"]
PASSES = ["Apply", "GradientCombine", "GradientSums", "Moments"]


def gradients(layer, **call):
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **call)
        return y, tape.gradient(y, [x, *(v.value for v in layer.weights)])

    return both


@built
def test_group_norm_is_one_kernel():
    x = tf.constant(X)
    group = layers.GroupNormalization(groups=4, activation="silu")
    with ops.using_native("always"):
        assert operations(gradients(group), x) == FUSED
        masked = gradients(group, mask=np.ones((5, 6), bool))
        assert operations(masked, x) == PASSES
    with ops.using_native("never"):
        assert operations(gradients(group), x) == []


class Overriding(layers.BatchNormalization):
    def algebra(self, moments, instance, params):
        return super().algebra(moments, instance, params)


@built
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (layers.BatchNormalization, FUSED),
        # There is one replica.
        (layers.CrossReplicaBatchNormalization, FUSED),
        (lambda: layers.GhostBatchNormalization(5), FUSED),
        (lambda: layers.GhostBatchNormalization(1), FUSED),
        # The last ghost batch is smaller.
        (lambda: layers.GhostBatchNormalization(2), PASSES),
        (lambda: layers.BatchNormalization(renorm=True), PASSES),
        # Its running statistics are those of channels.
        (lambda: layers.BatchGroupNormalization(groups=4), PASSES),
        (Overriding, PASSES),
    ],
)
def test_batch_norm_is_one_kernel_in_training(make, expected):
    x, layer = tf.constant(X), make()
    mask = np.ones((5, 6), bool)
    with ops.using_native("always"):
        training = gradients(layer, training=True)
        assert operations(training, x) == expected
        masked = gradients(layer, training=True, mask=mask)
        assert operations(masked, x) == PASSES
        assert operations(layer, x) == ["Apply"]
        chosen = gradients(layer, training=tf.constant(True))
        assert operations(chosen, x) == PASSES


@built
def test_batches_of_any_size_are_one_kernel():
    layer = layers.BatchNormalization()
    ghosts = layers.GhostBatchNormalization(5)
    layer.build(X.shape)
    ghosts.build(X.shape)
    for each, compiled, expected in (
        (layer, False, ["GroupNorm"]),
        # XLA pads a batch whose size depends on values.
        (layer, True, ["Apply", "Moments"]),
        (ghosts, False, ["Apply", "Moments"]),
    ):

        @tf.function(
            input_signature=[tf.TensorSpec([None, *X.shape[1:]])],
            jit_compile=compiled,
        )
        def train(x, each=each):
            return each(x, training=True)

        with ops.using_native("always"):
            assert operations(train, tf.constant(X)) == expected


def nodes(layer):
    """The number of operations that a training step of a layer runs."""

    @tf.function
    def step(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, [x, *layer.trainable_variables], dy)

    layer.build(X.shape)
    step(X, X)
    graph = step.get_concrete_function(X, X).graph.as_graph_def()
    functions = {f.signature.name: f.node_def for f in graph.library.function}
    return sum(
        len(functions[node.attr["f"].func.name])
        if node.op.endswith("PartitionedCall")
        else 1
        for node in graph.node
    )


@built
def test_a_training_step_has_fewer_nodes_than_keras_s():
    with ops.using_native("always"):
        ours = nodes(layers.BatchNormalization())
    assert ours <= nodes(keras.layers.BatchNormalization())


@built
def test_depthwise_convolution_is_one_kernel():
    x = tf.constant(X)
    both = ["Depthwise", "DepthwiseGradient"]
    with ops.using_native("always"):
        enhanced = layers.EnhancedAffine()
        assert operations(gradients(enhanced), x) == both
        assert operations(gradients(layers.EnhancedAffine()), x[:, 0, 0]) == []
        unified = layers.UnifiedBatchNormalization(bound=-1)
        # The first examples have moments for the cosine.
        assert operations(gradients(unified, training=True), x) == [
            "Apply",
            *both,
            *("GradientCombine", "GradientSums", "Moments", "Moments"),
        ]
    with ops.using_native("never"):
        assert operations(gradients(enhanced), x) == []


@built
@pytest.mark.parametrize("masked", [False, True])
def test_similarity_reads_squares_from_moments(masked):
    mask = np.ones(X.shape[:-1], bool) if masked else None
    with ops.using_native("always"):
        assert operations(
            lambda x: ops.feature_similarity(x, mask), tf.constant(X)
        ) == ["Moments"]


@built
def test_arguments_the_library_cannot_take_run_composed():
    x = tf.constant(X)

    @dataclasses.dataclass
    class Unhashable:
        slope: float = 2.0

        def __call__(self, z):
            return self.slope * z

    for options in (
        {"activation": Unhashable()},
        {"gamma": np.array([2.0], "float32")},
        {"epsilon": tf.constant(0.5)},
    ):
        ours, composed = both_ways(
            lambda options=options: ops.group_normalization(
                x, groups=4, **options
            )
        )
        np.testing.assert_allclose(ours, composed, atol=1e-5)


def test_a_mode_is_one_of_three(monkeypatch):
    message = (
        "{} must be one of ['auto', 'always', 'never']. Received: 'on'. "
        "'auto' uses the native library where it is available."
    )
    monkeypatch.setenv("KERAS_NORMS_NATIVE", "on")
    layer = layers.InstanceNormalization()
    assert message.format("KERAS_NORMS_NATIVE") in refusal(layer, X)
    monkeypatch.delenv("KERAS_NORMS_NATIVE")
    block = message.format("The mode of `using_native`")
    assert refusal(ops.using_native("on").__enter__) == block


def test_blocks_of_threads_end_their_own():
    first, second = ops.using_native("never"), ops.using_native("always")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert dispatch.mode() == "always"
    second.__exit__(None, None, None)
    assert dispatch.mode() == mode_of_environment()


def mode_of_environment():
    return os.environ.get("KERAS_NORMS_NATIVE", "auto")
