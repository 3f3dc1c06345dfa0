"""Masks that cover the channel axis, as `keras.layers.Masking` makes them.

Inputs have the shape [batch, channels, positions], masks [batch, channels].
"""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS
from tests.conftest import REPLICAS

SHAPE = (4, CHANNELS, 3)
RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, SHAPE)
DY = RNG.normal(size=SHAPE)
MASK = RNG.random(SHAPE[:2]) < 0.6
MASK[0], MASK[:, 1] = False, False


def results(descriptor, x, mask):
    """y, dx, gradients and running statistics of one training step."""
    keras.utils.set_random_seed(0)
    layer = descriptor.create(axis=1, dtype="float64")
    layer.build(SHAPE)
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, mask=mask, **descriptor.training)
    sources = [x, *(v.value for v in layer.trainable_variables)]
    gradients = tape.gradient(y, sources, tf.constant(DY))
    state = [v.numpy() for v in layer.non_trainable_variables]
    return [y.numpy(), *(g.numpy() for g in gradients), *state]


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
def test_same_mask_for_all_channels_equals_example_mask(descriptor):
    examples = np.array([True, False, True, True])
    spread = np.repeat(examples[:, None], CHANNELS, axis=1)
    wanted = results(descriptor, X, examples)
    for have, want in zip(results(descriptor, X, spread), wanted, strict=True):
        np.testing.assert_allclose(have, want, atol=1e-9)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
def test_masked_values_are_ignored(descriptor):
    """They change no other output, and no gradient but their own."""
    valid = np.repeat(MASK[:, :, None], SHAPE[2], axis=2)
    other = np.where(valid, X, np.nan)
    zeros = np.where(valid, X, 0.0)
    have = results(descriptor, other, MASK)
    want = results(descriptor, zeros, MASK)
    np.testing.assert_allclose(have[0], want[0], atol=1e-9)
    for a, b in zip(have[1:], want[1:], strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, atol=1e-9)


def moments(x, valid, axes):
    count = np.maximum(valid.sum(axes, keepdims=True), 1)
    mean = np.where(valid, x, 0).sum(axes, keepdims=True) / count
    square = np.where(valid, (x - mean) ** 2, 0)
    return mean, square.sum(axes, keepdims=True) / count


@pytest.mark.parametrize("kind", ["float64", "float32", "jit", "replicas"])
def test_batch_norm_equals_explicit_sums(kind, strategy):
    valid = np.repeat(MASK[:, :, None], SHAPE[2], axis=2)
    mean, variance = moments(X, valid, (0, 2))
    # A channel without a valid position gives zeros, and its running
    # statistics are not updated.
    present = valid.any((0, 2), keepdims=True)
    want = np.where(present, (X - mean) / np.sqrt(variance + 1e-3), 0)
    moving = np.where(present, mean, 0.0).ravel()
    dtype = "float64" if kind == "float64" else "float32"
    synchronized = kind == "replicas"
    scope = strategy.scope() if synchronized else contextlib.nullcontext()
    with scope:
        layer = layers.BatchNormalization(
            axis=1, momentum=0.0, dtype=dtype, synchronized=synchronized
        )
        layer.build(SHAPE)

    @tf.function(jit_compile=kind == "jit")
    def step(x, mask):
        return layer(x, mask=mask, training=True)

    data = X.astype(dtype), MASK
    if synchronized:
        shards = [np.array_split(array, REPLICAS) for array in data]
        values = [
            strategy.experimental_distribute_values_from_function(
                lambda context, shard=shard: tf.constant(
                    shard[context.replica_id_in_sync_group]
                )
            )
            for shard in shards
        ]
        run = tf.function(lambda *values: strategy.run(step, values))
        have = strategy.experimental_local_results(run(*values))
        have = np.concatenate(have)
    else:
        have = step(*data)
    np.testing.assert_allclose(have, want, atol=2e-6)
    np.testing.assert_allclose(layer.moving_mean, moving, atol=1e-6)


def test_group_norm_equals_explicit_sums():
    valid = np.repeat(MASK[:, :, None], SHAPE[2], axis=2)
    split = (SHAPE[0], 2, CHANNELS // 2, SHAPE[2])
    grouped = X.reshape(split), valid.reshape(split)
    mean, variance = moments(*grouped, (2, 3))
    want = (grouped[0] - mean) / np.sqrt(variance + 1e-3)
    want = np.where(grouped[1].any((2, 3), keepdims=True), want, 0)
    layer = layers.GroupNormalization(groups=2, axis=1)
    have = layer(X.astype("float32"), mask=MASK)
    np.testing.assert_allclose(have, want.reshape(SHAPE), atol=2e-6)


def test_ambiguous_mask_covers_channels_as_in_keras():
    x = X[:, :3]
    by_channel = ops.instance_moments(x, MASK[:, :3], axis=1).count
    assert by_channel.shape == (4, 3)
    np.testing.assert_array_equal(by_channel, 3 * MASK[:, :3])
    by_position = ops.instance_moments(X[:, :4], MASK[:, :3], axis=1).count
    np.testing.assert_array_equal(by_position, MASK[:, :3].sum(1))


def test_mask_of_unknown_size_covers_positions():
    inputs = keras.Input((CHANNELS, None))
    mask = keras.Input((None,), dtype="bool")
    layer = layers.GroupNormalization(groups=2, axis=1)
    model = keras.Model([inputs, mask], layer(inputs, mask=mask))
    x, mask = X[:, :, :3].astype("float32"), MASK[:, :3]
    np.testing.assert_allclose(
        model.predict([x, mask], verbose=0), layer(x, mask=mask), atol=1e-6
    )


def test_per_channel_counts_merge():
    """The moments of a union of batches with different masks."""
    batches = [(X[:2], MASK[:2]), (X[2:], MASK[2:])]
    first, second = (
        ops.instance_moments(x, mask, axis=1).pool(examples=None)
        for x, mask in batches
    )
    union = ops.instance_moments(X, MASK, axis=1).pool(examples=None)
    for merged in (first.merge(second), second.merge(first)):
        np.testing.assert_array_equal(merged.count, union.count)
        np.testing.assert_allclose(merged.mean, union.mean, atol=1e-12)
        np.testing.assert_allclose(merged.variance, union.variance, atol=1e-12)
    unmasked = ops.instance_moments(X[:1], axis=1)
    mixed = unmasked.merge(ops.instance_moments(X[1:2], MASK[1:2], axis=1))
    assert mixed.count.shape == (1, CHANNELS)
