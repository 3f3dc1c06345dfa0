"""The time of an all-reduce: `python -m benchmarks.collectives`.

Times chains of dependent all-reduces of several sizes, between the replicas of
one process (MirroredStrategy on virtual CPUs) and between processes that talk
by gRPC over the loopback device (MultiWorkerMirroredStrategy). Fits the
latency L of a message and the bandwidth B to the time of a ring,

    2 (R - 1) L + 2 (R - 1) / R bytes / B

and prints what the all-reduces of ResNet50's 53 batch norms take with them,
and with the values of a fast network, for 2 to 1,024 replicas: in a ring, in a
tree (2 log2(R) L + 2 bytes / B), and in a tree if they were packed into two
all-reduces, one forward and one backward. docs/scaling.md explains this.
"""

import argparse
import csv
import math
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks import timing
from keras_norms.statistics.replica_groups import uses_table
from tutorials import local_cluster

CHAIN = 20
FLOATS = (128, 1024, 8192, 65536, 524288)
REPLICAS = {"virtual CPUs": (2, 4), "gRPC": (2, 3)}
# A message between GPUs of a cluster: a latency of 5 microseconds and a
# bandwidth of 25 GB/s (200 Gbit/s). These are assumed, not measured.
FAST_NETWORK = (5e-6, 25e9)
# The numbers of ResNet50's batch norms, by channels.
RESNET50 = {64: 7, 128: 8, 256: 16, 512: 11, 1024: 7, 2048: 4}
SCALES = (2, 8, 64, 1024)


def sent(channels, replicas):
    """The bytes of the all-reduces of a layer: forward, backward."""
    rows = 4 * replicas if uses_table(replicas) else 8
    return rows * (3 * channels + 1), 4 * 2 * channels


def ring(size, replicas, latency, bandwidth):
    hops = 2 * (replicas - 1)
    return hops * (latency + size / replicas / bandwidth)


def tree(size, replicas, latency, bandwidth):
    return 2 * (math.log2(replicas) * latency + size / bandwidth)


def strategy_of(kind, replicas):
    if kind == "gRPC":
        return tf.distribute.MultiWorkerMirroredStrategy()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * replicas,
    )
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(replicas)]
    )


def chain(strategy, floats):
    """A step of `CHAIN` all-reduces, each of the result before."""
    scale = 1.0 / strategy.num_replicas_in_sync

    def replica_step():
        context = tf.distribute.get_replica_context()
        x = tf.ones((floats,))
        for _ in range(CHAIN):
            x = context.all_reduce(tf.distribute.ReduceOp.SUM, x) * scale
        return tf.reduce_sum(x)

    step = tf.function(lambda: strategy.run(replica_step))
    return lambda: strategy.experimental_local_results(step())[0].numpy()


def measure(kind, replicas, rounds, path):
    """Times all sizes in this process, interleaved."""
    strategy = strategy_of(kind, replicas)
    steps = {floats: chain(strategy, floats) for floats in FLOATS}
    took = timing.medians(steps, rounds)
    if getattr(strategy.cluster_resolver, "task_id", 0) in (0, None):
        environment = timing.environment("tensorflow")
        timing.write(
            path,
            [
                {
                    "between": kind,
                    "replicas": replicas,
                    "bytes": 4 * floats,
                    "microseconds": round(1e6 * seconds / CHAIN, 1),
                    **environment,
                }
                for floats, seconds in took.items()
            ],
        )


def fit(rows):
    """The latency and the bandwidth: least squares of relative errors."""
    terms, times = [], []
    for row in rows:
        replicas, size = int(row["replicas"]), int(row["bytes"])
        hops = 2 * (replicas - 1)
        terms.append((hops, hops / replicas * size))
        times.append(float(row["microseconds"]) * 1e-6)
    terms, times = np.array(terms), np.array(times)
    solution, *_ = np.linalg.lstsq(
        terms / times[:, None], np.ones(len(times)), rcond=None
    )
    latency, per_byte = solution
    return latency, 1 / per_byte


def report(name, latency, bandwidth):
    """Prints milliseconds of a training step of ResNet50."""
    print(
        f"{name}: latency {1e6 * latency:.1f} microseconds, "
        f"bandwidth {bandwidth / 1e9:.2f} GB/s"
    )
    for replicas in SCALES:
        network = replicas, latency, bandwidth
        sizes = [
            size
            for channels, layers in RESNET50.items()
            for size in sent(channels, replicas) * layers
        ]
        print(
            f"  {replicas} replicas:"
            f" ring {1e3 * sum(ring(s, *network) for s in sizes):.2f} ms,"
            f" tree {1e3 * sum(tree(s, *network) for s in sizes):.2f} ms,"
            f" packed {2e3 * tree(sum(sizes) / 2, *network):.3f} ms"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    timing.add_arguments(parser, "collectives.csv", rounds=15)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, replicas = options.one
        return measure(kind, int(replicas), options.rounds, options.csv)
    rows = []
    for kind, replicas in [(k, r) for k in REPLICAS for r in REPLICAS[k]]:
        with tempfile.TemporaryDirectory() as folder:
            part = pathlib.Path(folder) / "part.csv"
            command = [sys.executable, "-m", "benchmarks.collectives"]
            command += ["--one", kind, str(replicas), "--csv", str(part)]
            command += ["--rounds", str(options.rounds)]
            workers = replicas if kind == "gRPC" else 1
            if local_cluster.run(command, workers, restarts=0):
                raise SystemExit(f"{kind} between {replicas} failed.")
            with part.open(newline="") as file:
                rows += list(csv.DictReader(file))
    timing.write(options.csv, rows)
    for kind in REPLICAS:
        report(kind, *fit([row for row in rows if row["between"] == kind]))
    report("a fast network (assumed)", *FAST_NETWORK)
    return None


if __name__ == "__main__":
    main()
