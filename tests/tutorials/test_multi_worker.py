"""The tutorial of several machines, as processes on this one."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms  # noqa: F401  its layers are in the saved models
from tutorials import local_cluster

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "tutorials.multi_worker"]
# How often a worker is killed. `KERAS_NORMS_TEST_KILLS=10` for a release.
KILLS = int(os.environ.get("KERAS_NORMS_TEST_KILLS", "1"))
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


def test_three_workers_equal_one_worker(tmp_path):
    # 97 images: the last batch of the evaluation is padded.
    small = "--examples", "97", "--batch", "48", "--epochs", "1"
    alone = run(tmp_path / "1", 1, *small)
    for name, value in run(tmp_path / "3", 3, *small).items():
        np.testing.assert_allclose(value, alone[name], atol=1e-5, err_msg=name)


def started(folder, *more):
    """A cluster whose workers end by a signal, and its processes."""
    command = [*COMMAND, *SMALL, "--folder", str(folder), *more]
    return local_cluster.start(command, 2)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


@pytest.mark.parametrize("run_index", range(KILLS))
def test_a_killed_worker_resumes_to_the_same_bits(
    uninterrupted, tmp_path, run_index
):
    """The kill is in the middle of the second epoch."""
    processes = started(tmp_path)
    wait_for(lambda: (tmp_path / "checkpoint").exists())
    time.sleep(0.05 * run_index)
    processes[run_index % 2].send_signal(signal.SIGKILL)
    assert not local_cluster.finished(processes)
    assert not (tmp_path / "model.keras").exists()
    resumed = run(tmp_path, 2)
    for name, value in resumed.items():
        np.testing.assert_array_equal(uninterrupted[name], value, name)


# Saves the state of step 1, 2, ... without a pause.
SAVE = """
import sys
import tensorflow as tf
state = [tf.Variable(tf.fill((2000, 2000), step)) for step in (0, 0, 0)]
checkpoint = tf.train.Checkpoint(variables=state)
manager = tf.train.CheckpointManager(checkpoint, sys.argv[1], max_to_keep=2)
while True:
    for each in state:
        each.assign_add(tf.ones_like(each))
    manager.save()
"""


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20])
def test_a_kill_during_a_checkpoint_write_keeps_the_one_before(
    tmp_path, milliseconds
):
    with subprocess.Popen([sys.executable, "-c", SAVE, tmp_path]) as writer:
        wait_for(lambda: (tmp_path / "checkpoint").exists())
        done = step_of(tf.train.latest_checkpoint(tmp_path))
        wait_for(lambda: any(tmp_path.glob("*temp*")))
        time.sleep(milliseconds / 1000)
        writer.kill()
    state = [tf.Variable(tf.zeros((2000, 2000), "int32")) for _ in "abc"]
    checkpoint = tf.train.Checkpoint(variables=state)
    manager = tf.train.CheckpointManager(checkpoint, tmp_path, 2)
    checkpoint.restore(manager.latest_checkpoint).assert_consumed()
    step = step_of(manager.latest_checkpoint)
    assert step >= done
    for each in state:
        assert np.all(each.numpy() == step)


def step_of(path):
    return int(path.rpartition("-")[2])


def test_a_worker_that_does_not_start_is_named(tmp_path):
    silent, port = local_cluster.free_ports(2)
    addresses = [f"127.0.0.1:{port}", f"127.0.0.1:{silent}"]
    task = {"type": "worker", "index": 0}
    config = {"cluster": {"worker": addresses}, "task": task}
    result = subprocess.run(
        [*COMMAND, "--folder", tmp_path, "--start-seconds", "5"],
        env={**os.environ, "TF_CONFIG": json.dumps(config)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert (
        "All workers in TF_CONFIG must start within 5 s. These workers do not "
        f"answer: 127.0.0.1:{silent}. Start them, correct TF_CONFIG, or raise "
        "the limit. This worker ends."
    ) in result.stderr


def test_keras_fit_fails_with_several_workers(tmp_path):
    """keras#20585. If this test fails, `fit` may replace the tutorial."""
    workers = local_cluster.start([sys.executable, "-c", FIT], 2)
    wait_for(lambda: any(worker.poll() is not None for worker in workers))
    assert FIT_FAILED in [worker.poll() for worker in workers]
    for worker in workers:
        worker.kill()
        worker.wait()


FIT_FAILED = 3
FIT = f"""
import keras
import numpy as np
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
x = np.ones((8, 4), "float32")
try:
    model.fit(x, x[:, :1], batch_size=4, verbose=0)
except Exception:
    raise SystemExit({FIT_FAILED})
"""
