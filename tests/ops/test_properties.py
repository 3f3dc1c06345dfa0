"""Properties of the public functions, against float64 numpy, by hypothesis."""

import hypothesis
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

from benchmarks.fuzz.arrays import fits_channels
from keras_norms import layers
from keras_norms import ops
from tests.references.block_moments import channels_last
from tests.references.block_moments import normalized
from tests.references.block_moments import oracle


def property_of(*strategies):
    """Runs a test on 40 examples, the same in every run."""

    def decorate(test):
        test = hypothesis.given(*strategies)(test)
        return hypothesis.settings(
            max_examples=40, deadline=None, derandomize=True
        )(test)

    return decorate


@st.composite
def inputs(draw):
    """x, the channel axis, and a mask or None."""
    rank = draw(st.integers(2, 5))
    shape = draw(st.lists(st.integers(0, 5), min_size=rank, max_size=rank))
    axis = draw(st.integers(1, rank - 1))
    shape[axis] = max(shape[axis], 1)
    random = np.random.default_rng(draw(st.integers(0, 999)))
    scale = draw(st.sampled_from([0.0, 1.0, 3.0]))
    x = random.normal(draw(st.sampled_from([0.0, 5.0])), scale, shape)
    mask_rank = draw(st.integers(0, rank - 1))
    positions = shape[:axis] + shape[axis + 1 :]
    share = draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    positions = positions[:mask_rank]
    if fits_channels(positions, shape, axis):
        positions = positions[:-1]
    mask = random.random(positions) < share if positions else None
    return x, axis - draw(st.sampled_from([0, rank])), mask


@st.composite
def grouped(draw):
    """Inputs, and a number of groups that divides their channels."""
    x, axis, mask = draw(inputs())
    channels = x.shape[axis]
    divisors = [k for k in range(1, channels + 1) if channels % k == 0]
    return x, axis, mask, draw(st.sampled_from(divisors))


BLOCKS = st.one_of(st.none(), st.integers(1, 6))


def parameters(channels):
    """A gamma and a beta."""
    return np.random.default_rng(1).normal(1, 1, (2, channels))


def close(have, want):
    """Equal shapes, and values within 1e-12."""
    have = np.asarray(have)
    assert have.shape == want.shape
    np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-12)


def close_moments(moments, count, mean, variance):
    close(moments.count, count[:, 0])
    close(moments.mean + moments.residual, mean)
    close(moments.variance, variance)


@property_of(inputs())
def test_instance_moments(case):
    x, axis, mask = case
    moments = ops.instance_moments(x, mask=mask, axis=axis)
    assert moments.mean.dtype == "float64"
    close_moments(moments, *oracle(x, axis, mask))


@property_of(grouped(), BLOCKS, st.booleans())
def test_pool(case, examples, per_channel):
    x, axis, mask, groups = case
    groups = -1 if per_channel else groups
    moments = ops.instance_moments(x, mask=mask, axis=axis)
    close_moments(
        moments.pool(examples=examples, groups=groups),
        *oracle(x, axis, mask, examples, None if per_channel else groups),
    )


@property_of(inputs(), inputs())
def test_merge(case, other):
    (x, axis, mask), (y, other_axis, other_mask) = case, other
    x, mask = channels_last(x, axis, mask)
    y, other_mask = channels_last(y, other_axis, other_mask)
    batch, channels = np.minimum(x.shape, y.shape)[[0, 2]]
    x, y = x[:batch, :, :channels], y[:batch, :, :channels]
    mask, other_mask = mask[:batch], other_mask[:batch]
    merged = ops.instance_moments(x, mask=mask).merge(
        ops.instance_moments(y, mask=other_mask)
    )
    joined = np.concatenate([mask, other_mask], axis=1)
    close_moments(merged, *oracle(np.concatenate([x, y], 1), -1, joined))


@property_of(inputs(), st.floats(0, 1))
def test_blend(case, weight):
    x, axis, mask = case
    own = ops.instance_moments(x, mask=mask, axis=axis)
    random = np.random.default_rng(0)
    mean, variance = random.normal(3, 2, (2, 1, x.shape[axis]))
    other = ops.Moments(*map(tf.constant, (np.ones(1), mean, variance**2)))
    blended = own.blend(other, weight)
    count, own_mean, own_variance = oracle(x, axis, mask)
    w = weight * (count > 0)
    close(blended.mean + blended.residual, w * own_mean + (1 - w) * mean)
    want = w * own_variance + (1 - w) * variance**2
    close(blended.variance, want + w * (1 - w) * (own_mean - mean) ** 2)


@property_of(inputs())
def test_blend_by_channel(case):
    x, axis, mask = case
    own = ops.instance_moments(x, mask=mask, axis=axis)
    other = own.pool(groups=1)
    weights = np.linspace(0, 1, x.shape[axis])
    blended = own.blend(other, tf.constant(weights[None]))
    for channel, weight in enumerate(weights):
        one = own.blend(other, float(weight))
        for name in ("mean", "variance"):
            have, want = getattr(blended, name), getattr(one, name)
            close(have[:, channel], np.asarray(want)[:, channel])


@property_of(inputs(), st.sampled_from([1e-5, 1e-3, 1.0]), st.booleans())
def test_affine(case, epsilon, plain):
    x, axis, mask = case
    gamma, beta = parameters(x.shape[axis])
    weights = {} if plain else {"gamma": gamma, "beta": beta}
    moments = ops.instance_moments(x, mask=mask, axis=axis)
    center, scale, shift = ops.affine(moments, epsilon=epsilon, **weights)
    assert not np.any(np.asarray(shift)[np.asarray(moments.count) == 0])
    last = np.moveaxis(x, axis, -1)
    spread = x.shape[:1] + (1,) * (x.ndim - 2) + last.shape[-1:]
    center, scale, shift = (
        np.reshape(each, spread) for each in (center, scale, shift)
    )
    y = np.moveaxis((last - center) * scale + shift, -1, axis)
    close(y, normalized(x, axis, epsilon, mask=mask, **weights))


@property_of(grouped(), st.sampled_from([1e-5, 1e-3, 1.0]), st.booleans())
def test_group_normalization(case, epsilon, per_channel):
    x, axis, mask, groups = case
    gamma, beta = parameters(x.shape[axis])
    y = ops.group_normalization(
        x,
        -1 if per_channel else groups,
        gamma,
        beta,
        mask=mask,
        axis=axis,
        epsilon=epsilon,
    )
    groups = None if per_channel else groups
    blocks = {"mask": mask, "groups": groups}
    close(y, normalized(x, axis, epsilon, gamma, beta, **blocks))


@property_of(inputs(), st.integers(1, 6))
def test_ghost_batches_equal_batches(case, size):
    x, axis, mask = case
    layer = layers.GhostBatchNormalization(size, axis=axis, dtype="float64")
    y = layer(x, training=True, mask=mask)
    close(y, normalized(x, axis, mask=mask, examples=size))
