"""Compares the bits of all layers between two commits.

For a change that must not change any result. Record in a checkout of the
commit before the change and in one of the commit after it, with each backend:

    python -m benchmarks.bits record before.pickle
    KERAS_NORMS_NATIVE=never python -m benchmarks.bits record composed.pickle

and compare the files:

    python -m benchmarks.bits compare before.pickle after.pickle

`record FILE float32,bfloat16` records some of the dtypes, in less time.
A case is one descriptor, dtype, memory layout and mode. Its tensors are the
output, the gradients and the state of two training steps, and the output of
inference after them.
"""

import itertools
import os
import pickle
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from tests.conformance.descriptors import DESCRIPTORS

REPLICAS = 2
MODES = ("eager", "graph", "unknown", "xla", "replicas")
DTYPES = ("float32", "float64", "bfloat16", "float16")
SHAPES = {-1: (6, 5, 3, 6), 1: (6, 6, 5, 3)}


def inputs(shape, dtype):
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(3, 2, shape), dtype)
    dy = tf.constant(random.normal(size=shape), dtype)
    return x, dy


def build(descriptor, shape, axis, dtype):
    layer = descriptor.create(axis=axis, dtype=dtype)
    layer.build((None, *shape[1:]))
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        value = random.uniform(0.2, 0.8, variable.shape)
        variable.assign(value.astype("float32"))
    return layer


def steps(layer, x, dy, masked, training):
    """Two training steps and one of inference, as a dict of tensors."""
    batch = tf.shape(x)[0]
    mask = tf.range(batch) % 3 > 0 if masked else None
    if mask is not None:
        mask = tf.broadcast_to(mask[:, None], tf.shape(x)[:2])
    results = {}
    for step in range(2):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x * (step + 1.0), mask=mask, **training)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        gradients = tape.gradient(y, sources, dy)
        names = ["dx", *(v.name for v in layer.trainable_variables)]
        results[f"y{step}"] = y
        for name, gradient in zip(names, gradients, strict=True):
            if gradient is not None:
                results[f"{name}{step}"] = gradient
    results["inference"] = layer(x, mask=mask)
    return results


def run(descriptor, mode, dtype, axis, masked):
    shape = SHAPES[axis]
    x, dy = inputs(shape, dtype)

    def step(x, dy):
        return steps(layer, x, dy, masked, descriptor.training)

    if mode == "replicas":
        strategy = tf.distribute.MirroredStrategy(
            [f"CPU:{index}" for index in range(REPLICAS)]
        )
        with strategy.scope():
            layer = build(descriptor, shape, axis, dtype)
        graph = tf.function(lambda *a: strategy.run(step, a))
        results = graph(x, dy)
        tensors = {
            f"{name}/{index}": part
            for name, value in results.items()
            for index, part in enumerate(
                strategy.experimental_local_results(value)
            )
        }
    else:
        layer = build(descriptor, shape, axis, dtype)
        if mode == "graph":
            step = tf.function(step)
        elif mode == "unknown":
            sizes = [None] * len(shape)
            sizes[axis] = shape[axis]
            unknown = tf.TensorSpec(sizes, dtype)
            step = tf.function(step, input_signature=[unknown] * 2)
        elif mode == "xla":
            step = tf.function(step, jit_compile=True)
        tensors = step(x, dy)
    for index, variable in enumerate(layer.non_trainable_variables):
        tensors[f"state {index}"] = variable.value
    return {name: as_bits(tensor) for name, tensor in tensors.items()}


def as_bits(tensor):
    return str(tensor.dtype.name), np.asarray(tensor).tobytes()


def record(path, dtypes=None):
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
    )
    recorded = {}
    for descriptor, mode, dtype, axis, masked in itertools.product(
        DESCRIPTORS,
        MODES,
        dtypes.split(",") if dtypes else DTYPES,
        SHAPES,
        (False, True),
    ):
        compiled_or_graph = mode in ("graph", "xla")
        varied = masked or axis == 1 or dtype in ("float64", "float16")
        if (varied and not compiled_or_graph) or (masked and axis == 1):
            continue
        case = f"{descriptor.id} {mode} {dtype} {axis} {masked}"
        try:
            recorded[case] = run(descriptor, mode, dtype, axis, masked)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as e:
            recorded[case] = {"refused": type(e).__name__}
    with open(path, "wb") as file:
        pickle.dump(recorded, file)
    count = sum(map(len, recorded.values()))
    refused = sum("refused" in tensors for tensors in recorded.values())
    print(f"{len(recorded)} cases, {refused} refused, {count} tensors")


def compare(before, after):
    with open(before, "rb") as a, open(after, "rb") as b:
        before, after = pickle.load(a), pickle.load(b)
    common = before.keys() & after.keys()
    different = [
        f"{case}: {name}"
        for case in sorted(common)
        for name in sorted(before[case].keys() | after[case].keys())
        if before[case].get(name) != after[case].get(name)
    ]
    tensors = sum(len(before[case]) for case in common)
    print(f"{len(common)} cases, {tensors} tensors, {len(different)} differ")
    print(*different, sep="\n", end="\n" if different else "")
    return bool(different)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    sys.exit({"record": record, "compare": compare}[command](*paths))
