"""The tutorial of several machines, as processes on this one."""

import signal
import sys
import time

import keras
import numpy as np
import pytest

import keras_norms  # noqa: F401  its layers are in the saved models
from tutorials import local_cluster

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "tutorials.multi_worker"]
SMALL = ["--examples", "96", "--batch", "32", "--epochs", "2"]


def weights(folder):
    model = keras.saving.load_model(folder / "model.keras")
    return {weight.path: weight.numpy() for weight in model.weights}


def run(folder, workers, *more):
    command = [*COMMAND, *SMALL, "--folder", str(folder), *more]
    status = local_cluster.run(command, workers, restarts=1)
    assert status == 0
    return weights(folder)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run(tmp_path_factory.mktemp("uninterrupted"), 2)


def test_workers_equal_one_worker(uninterrupted, tmp_path):
    alone = run(tmp_path, 1)
    assert list(alone) == list(uninterrupted)
    for name, value in alone.items():
        np.testing.assert_allclose(
            uninterrupted[name], value, atol=1e-5, err_msg=name
        )


def started(folder, *more):
    """A cluster whose workers end by a signal, and its processes."""
    command = [*COMMAND, *SMALL, "--folder", str(folder), *more]
    return local_cluster.start(command, 2)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_killed_worker_resumes_to_the_same_bits(uninterrupted, tmp_path):
    processes = started(tmp_path)
    wait_for(lambda: (tmp_path / "checkpoint").exists())
    processes[1].send_signal(signal.SIGKILL)
    assert not local_cluster.finished(processes)
    resumed = run(tmp_path, 2)
    for name, value in resumed.items():
        np.testing.assert_array_equal(uninterrupted[name], value, name)
