"""Identities of pooled, merged and blended moments."""

import numpy as np

from keras_norms import ops
from tests.layers.steps import AXES
from tests.support.samples import BATCH
from tests.support.samples import SIZE
from tests.support.samples import assert_close
from tests.support.samples import inputs


def test_batch_variance_is_within_plus_between_ghost_batches():
    moments = ops.instance_moments(inputs())
    ghosts = moments.pool(examples=2)
    batch = moments.pool(examples=None)
    mean, variance = np.array(ghosts.mean)[::2], np.array(ghosts.variance)[::2]
    assert_close(batch.variance[0], variance.mean(0) + mean.var(0))


def test_group_variance_is_within_plus_between():
    moments = ops.instance_moments(inputs())
    both = np.array(moments.pool(examples=None, groups=4).variance)[0, ::2]
    groups = moments.pool(groups=4)
    mean, variance = (
        np.array(t)[:, ::2] for t in (groups.mean, groups.variance)
    )
    assert_close(both, variance.mean(0) + mean.var(0))
    batch = moments.pool(examples=None)
    mean, variance = (
        np.array(t).reshape(4, 2) for t in (batch.mean, batch.variance)
    )
    assert_close(both, variance.mean(1) + mean.var(1))


def test_virtual_batch_norm_as_blend():
    """Each example is normalized together with a reference batch."""
    x, reference = inputs(), inputs(1)
    of_reference = ops.instance_moments(reference).pool(examples=None)
    blended = ops.instance_moments(x).blend(of_reference, 1 / (BATCH + 1))
    for i in range(BATCH):
        joined = np.concatenate([reference, x[i : i + 1]])
        assert_close(blended.mean[i], joined.mean(AXES))
        assert_close(blended.variance[i], joined.var(AXES))


def test_kalman_norm_as_blend():
    """The variance is that of the mixture; a share of 1 is batch norm."""
    a, b = (ops.instance_moments(inputs(s)).pool(None) for s in (0, 1))
    assert_close(a.blend(b, 1.0).variance, a.variance)
    mixed = a.blend(b, 0.7)
    difference = np.array(a.mean) - np.array(b.mean)
    want = 0.7 * np.array(a.variance) + 0.3 * np.array(b.variance)
    assert_close(mixed.variance, want + 0.7 * 0.3 * difference**2)


def test_precise_statistics_as_merge():
    """The merged moments of batches of different sizes."""
    batches = [inputs(0), inputs(1)[:2], inputs(2)[:3]]
    first, *others = (ops.instance_moments(x).pool(None) for x in batches)
    for other in others:
        first = first.merge(other)
    joined = np.concatenate(batches)
    assert_close(first.mean[0], joined.mean(AXES))
    assert_close(first.variance[0], joined.var(AXES))
    assert_close(first.count[0], len(joined) * SIZE)
