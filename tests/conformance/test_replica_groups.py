"""`replicas_per_group` merges the statistics of some replicas only."""

import numpy as np
import pytest

from tests.conformance.descriptors import CHANNELS
from tests.conformance.replica_run import CROSS
from tests.conformance.replica_run import SHARDS
from tests.conformance.replica_run import Run
from tests.conftest import REPLICAS
from tests.references import oracles


@pytest.mark.skipif(REPLICAS != 4, reason="four replicas make two groups")
def test_replicas_per_group(strategy):
    shards = (3, 1, 2, 0)
    run = Run(
        strategy,
        CROSS,
        shards,
        dtype="float64",
        arguments={"replicas_per_group": 2, "momentum": 0.0},
    )
    assert run.collectives() == 2
    means, variances = [], []
    for pair in (slice(0, 2), slice(2, 4)):
        x, dy = np.concatenate(run.x[pair]), np.concatenate(run.dy[pair])
        gamma, beta = run.layer.gamma.numpy(), run.layer.beta.numpy()
        wanted = oracles.normalize(x, dy, gamma, beta, -1, None, CHANNELS)
        y, dx = (np.concatenate(have[pair]) for have in run.results[:2])
        np.testing.assert_allclose(y, wanted.y, atol=1e-12)
        np.testing.assert_allclose(dx, wanted.dx, atol=1e-12)
        mean, variance = oracles.moments(x, -1)
        means.append(mean * len(x) / 6)
        variances.append(variance * len(x) / 6)
    layer = run.layer
    np.testing.assert_allclose(layer.moving_mean, sum(means), atol=1e-12)
    np.testing.assert_allclose(
        layer.moving_variance, sum(variances), atol=1e-12
    )


def test_replicas_per_group_must_divide_the_replicas(strategy):
    wrong = REPLICAS + 1
    with pytest.raises(ValueError, match="must be a multiple") as error:
        Run(
            strategy,
            CROSS,
            SHARDS[0],
            arguments={"replicas_per_group": wrong},
        )
    assert (
        "The number of replicas must be a multiple of `replicas_per_group`. "
        f"Received: replicas_per_group={wrong} with {REPLICAS} replicas. Use "
        f"a divisor of {REPLICAS}, or None to merge all of them."
    ) in str(error.value)
