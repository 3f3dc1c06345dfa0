"""Layers run native operations unless the mode or an argument forbids it."""

import dataclasses
import os

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


def gradients(layer, **call):
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **call)
        return y, tape.gradient(y, [x, *(v.value for v in layer.weights)])

    return both


@built
def test_group_norm_is_one_kernel_and_batch_norm_the_two_passes():
    x = tf.constant(X)
    with ops.using_native("always"):
        group = layers.GroupNormalization(groups=4, activation="silu")
        assert operations(gradients(group), x) == [
            "GroupNorm",
            "GroupNormGradient",
        ]
        four = ["Apply", "GradientCombine", "GradientSums", "Moments"]
        masked = gradients(group, mask=np.ones((5, 6), bool))
        assert operations(masked, x) == four
        batch = layers.BatchNormalization()
        assert operations(gradients(batch, training=True), x) == four
        assert operations(batch, x) == ["Apply"]
    with ops.using_native("never"):
        assert operations(gradients(group), x) == []


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
