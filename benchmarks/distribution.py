"""Models of synchronized layers: `python -m benchmarks.distribution`.

Times the tracing and the run of a training step of stacks of layers under
MirroredStrategy, on virtual CPUs: cross-replica and local batch norm of
keras_norms, and Keras's layer, synchronized and not. TensorFlow allows one
number of replicas per process, so each number has a process, in which the
steps of all layers are interleaved. The csv also has the all-reduces of a
replica in a step, and the bytes that it sends into them.
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import timing
from keras_norms import layers

BASELINE = "keras synchronized"
NORMS = {
    "cross-replica": layers.CrossReplicaBatchNormalization,
    "local": layers.BatchNormalization,
    BASELINE: lambda: keras.layers.BatchNormalization(synchronized=True),
    "keras local": keras.layers.BatchNormalization,
}
DEPTHS = (1, 20, 50)
REPLICAS = (1, 2, 4)
CHANNELS = 64
SHAPE = (8, 8, 8, CHANNELS)


def stack(norm, depth):
    """A model of `depth` normalization layers."""
    inputs = keras.Input(SHAPE[1:])
    x = inputs
    for _ in range(depth):
        x = norm()(x)
    return keras.Model(inputs, x)


def training_step(strategy, model):
    """The gradients of all replicas, without an optimizer's all-reduce."""
    weights = [weight.value for weight in model.trainable_variables]

    def replica_step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - 1.0))
        return tape.gradient(loss, weights)

    return tf.function(lambda x: strategy.run(replica_step, (x,)))


def all_reduces(graph):
    """The number, and the bytes, of the all-reduces of a replica."""
    found = [
        operation
        for operation in graph.get_operations()
        if operation.type == "CollectiveReduceV2"
    ]
    replicas = max(1, len({operation.device for operation in found}))
    sent = sum(
        operation.inputs[0].shape.num_elements()
        * operation.inputs[0].dtype.size
        for operation in found
    )
    return len(found) / replicas, sent / replicas


def measured(strategy, depth, options):
    """Yields a row for each kind of layer."""
    replicas = strategy.num_replicas_in_sync
    random = np.random.default_rng(0)
    x = strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant(random.normal(size=SHAPE), "float32")
    )
    steps, tracing = {}, {name: [] for name in NORMS}
    for _ in range(options.traces):
        for name, norm in NORMS.items():
            with strategy.scope():
                model = stack(norm, depth)
            steps[name] = training_step(strategy, model)
            start = time.perf_counter()
            steps[name].get_concrete_function(x)
            tracing[name].append(time.perf_counter() - start)
    took = timing.medians(
        {name: lambda f=step: f(x) for name, step in steps.items()},
        options.rounds,
    )
    of_keras = timing.ratios(took, BASELINE)
    fastest = {name: min(seconds) for name, seconds in tracing.items()}
    tracing_of_keras = timing.ratios(fastest, BASELINE)
    for name, step in steps.items():
        graph = step.get_concrete_function(x).graph
        number, sent = all_reduces(graph)
        yield {
            "replicas": replicas,
            "layers": depth,
            "layer": name,
            "trace_ms": round(1e3 * fastest[name], 1),
            "step_ms": round(1e3 * took[name], 2),
            "trace_of_keras": round(tracing_of_keras[name], 3),
            "step_of_keras": round(of_keras[name], 3),
            "all_reduces": number,
            "bytes": sent,
            "nodes": len(graph.get_operations()),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    timing.add_arguments(parser, "distribution.csv", rounds=15)
    add = parser.add_argument
    add("--traces", type=int, default=3)
    add("--depths", type=int, nargs="+", default=DEPTHS)
    add("--replicas", type=int, nargs="+", default=REPLICAS)
    add("--one-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_process:
        measure_one(options)
    else:
        measure_all(options)


def measure_all(options):
    """Measures each number of replicas in a process."""
    rows = []
    for replicas in options.replicas:
        with tempfile.TemporaryDirectory() as folder:
            part = pathlib.Path(folder) / "part.csv"
            command = [sys.executable, "-m", "benchmarks.distribution"]
            command += ["--one-process", "--csv", str(part)]
            command += ["--replicas", str(replicas), "--depths"]
            command += [*map(str, options.depths)]
            command += ["--rounds", str(options.rounds)]
            command += ["--traces", str(options.traces)]
            subprocess.run(command, check=True)
            with part.open(newline="") as file:
                rows += list(csv.DictReader(file))
        timing.write(options.csv, rows)


def measure_one(options):
    (replicas,) = options.replicas
    timing.keep_memory()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * replicas,
    )
    strategy = tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(replicas)]
    )
    rows, environment = [], timing.layer_environment()
    for depth in options.depths:
        for row in measured(strategy, depth, options):
            rows.append({**row, **environment})
            print(*row.values(), flush=True)
    timing.write(options.csv, rows)


if __name__ == "__main__":
    main()
