"""Synchronized replicas equal one device that has the joined batch.

TensorFlow allows one number of replicas per process, which is two here. The
last test runs this file and the other tests of replicas in other processes,
with three and four replicas.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_norms import ops
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import Descriptor
from tests.conformance.replica_run import CROSS
from tests.conformance.replica_run import SHARDS
from tests.conformance.replica_run import Run
from tests.conftest import REPLICAS
from tests.references import formulas
from tests.references import oracles

FILES = [
    pathlib.Path(__file__).with_name(name)
    for name in (
        "test_replicas.py",
        "test_replica_groups.py",
        "test_replicated_models.py",
    )
]
SYNCHRONIZED = [
    CROSS,
    Descriptor("BatchNormalization", {"synchronized": True}),
    Descriptor(
        "BatchGroupNormalization",
        {"synchronized": True, "groups": 2},
        groups=2,
    ),
    *(
        dataclasses.replace(
            descriptor,
            arguments={**descriptor.arguments, "synchronized": True},
        )
        for descriptor in DESCRIPTORS
        if descriptor.formula and descriptor.running
    ),
]
if REPLICAS > 2:
    # The other layers run with two replicas only, to save time.
    SYNCHRONIZED = SYNCHRONIZED[:3] + [
        d for d in SYNCHRONIZED if d.name.startswith("Representative")
    ]
every_synchronized = pytest.mark.parametrize(
    "descriptor", SYNCHRONIZED, ids=[d.id for d in SYNCHRONIZED]
)


@pytest.mark.parametrize("shards", SHARDS, ids=str)
@pytest.mark.parametrize("masked", [False, True])
@every_synchronized
def test_equals_one_device_on_the_joined_batch(
    strategy, shards, masked, descriptor
):
    run = Run(
        strategy,
        descriptor,
        shards,
        masked=masked,
        dtype="float64",
        arguments={"momentum": 0.9},
    )
    wanted, have = run.expected(), run.joined()
    assert set(wanted) == set(have)
    for name, want in wanted.items():
        scale = max(1.0, np.abs(want).max())
        np.testing.assert_allclose(have[name], want, atol=1e-12 * scale)
    layer = run.layer
    x, _, mask = run.inputs()
    mean, variance = formulas.running_target(x, run.weights, -1, mask)
    if layer.running_variance == "total":
        # The variance of the batch means, of which the first is 0.
        variance = variance + 0.9 * mean**2
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, atol=1e-13)
    np.testing.assert_allclose(
        layer.moving_variance, 0.9 + 0.1 * variance, atol=1e-12
    )
    for moving in layer.non_trainable_variables:
        first, *others = map(np.asarray, run.local(moving.value))
        for other in others:
            np.testing.assert_array_equal(first, other)
    if "Unified" in descriptor.name:
        cosine = ops.feature_similarity(x, mask) if len(x) > 1 else 1.0
        want = 0.9 + 0.1 * cosine
        np.testing.assert_allclose(layer.similarity, want, atol=1e-13)


@every_synchronized
def test_one_all_reduce_forward_and_one_backward(strategy, descriptor):
    """Unified batch norm has two more, for batch sizes and features."""
    run = Run(strategy, descriptor, SHARDS[0])
    assert run.collectives() == 2 + 2 * ("Unified" in descriptor.name)


@pytest.mark.parametrize("shards", SHARDS, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_mean_far_from_zero(strategy, shards, masked):
    run = Run(strategy, CROSS, shards, mean=1e4, masked=masked)
    have = run.joined()
    for name, want in run.expected().items():
        scale = max(1.0, np.abs(want).max())
        np.testing.assert_allclose(have[name], want, atol=5e-6 * scale)


@pytest.mark.parametrize("shards", SHARDS, ids=str)
def test_unsynchronized_replicas_average_running_statistics(strategy, shards):
    """Each normalizes by itself; running statistics are the same on all."""
    run = Run(
        strategy,
        Descriptor("BatchNormalization", {}),
        shards,
        dtype="float64",
        arguments={"momentum": 0.9},
    )
    means, variances = [], []
    for index, (x, dy) in enumerate(zip(run.x, run.dy, strict=True)):
        if not len(x):
            continue
        gamma, beta = run.layer.gamma.numpy(), run.layer.beta.numpy()
        own = oracles.normalize(x, dy, gamma, beta, -1, None, CHANNELS)
        wanted = (own.y, own.dx, own.dgamma, own.dbeta)
        for have, want in zip(run.results, wanted, strict=True):
            np.testing.assert_allclose(have[index], want, atol=1e-12)
        mean, variance = oracles.moments(x, -1)
        means.append(mean * len(x) / sum(shards))
        variances.append(variance * len(x) / sum(shards))
    for moving, wanted in (
        (run.layer.moving_mean, 0.1 * sum(means)),
        (run.layer.moving_variance, 0.9 + 0.1 * sum(variances)),
    ):
        for value in run.local(moving.value):
            np.testing.assert_allclose(value, wanted, atol=1e-12)
    assert run.collectives() == 1


@pytest.mark.skipif(
    REPLICAS != 2 or "KERAS_NORMS_TEST_SUMS" in os.environ,
    reason="two replicas start the others",
)
@pytest.mark.parametrize(
    ("replicas", "tests", "more"),
    [
        (3, "not reloaded", {}),
        (4, "group or all_reduce", {}),
        (2, "far_from_zero or average or group", {"SUMS": "1"}),
        (4, "far_from_zero or average or group", {"SUMS": "1"}),
    ],
)
def test_other_numbers_of_replicas(replicas, tests, more):
    """And sums in float64, which many replicas send."""
    command = [sys.executable, "-m", "pytest", "-q", *FILES, "-k", tests]
    more = {**more, "REPLICAS": str(replicas)}
    variables = {f"KERAS_NORMS_TEST_{name}": v for name, v in more.items()}
    result = subprocess.run(
        command,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout
