"""Activation tensors held for the backward pass, by slope over depth.

`python -m benchmarks.memory [--dtype mixed_bfloat16]` trains stacks of 8 and
24 [norm + relu] layers, each in a new process. It reports the growth of the
peak resident memory per layer, in tensors of the size of one activation.
"""

import argparse
import os
import subprocess
import sys

# 8 MB in 16 bits. The graph of a layer takes about a fifth of that.
SHAPE = (16, 64, 64, 64)
DEPTHS = (8, 24)
KINDS = {
    "keras": "keras.layers.{}() then relu",
    "ours": "keras_norms.layers.{}() then relu",
    "ours-fused": 'keras_norms.layers.{}(activation="relu")',
}


def peak(name, kind, depth, dtype):
    """Peak resident bytes of one training step of a stack, in a process."""
    command = [sys.executable, "-m", __spec__.name, "--worker"]
    command += [name, kind, str(depth), "--dtype", dtype]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    return int(output.stdout.split()[-1])


def tensors_per_layer(name, kind, dtype):
    """Tensors of one activation's size that a [norm + relu] layer holds."""
    shallow, deep = (peak(name, kind, depth, dtype) for depth in DEPTHS)
    size = 2 if dtype.startswith("mixed") else 4
    for length in SHAPE:
        size *= length
    return (deep - shallow) / (DEPTHS[1] - DEPTHS[0]) / size


def train(name, kind, depth, dtype):
    """Runs the step and prints the peak."""
    import resource

    import keras
    import tensorflow as tf

    import keras_norms

    keras.config.set_dtype_policy(dtype)
    module = keras if kind == "keras" else keras_norms
    arguments = {"activation": "relu"} if kind == "ours-fused" else {}
    layer_class = getattr(module.layers, name)
    layers = []
    for _ in range(depth):
        layers.append(layer_class(**arguments))
        if kind != "ours-fused":
            layers.append(keras.layers.ReLU())
    model = keras.Sequential([keras.Input(SHAPE[1:]), *layers])

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            y = model(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, "float32") ** 2)
        return tape.gradient(loss, [v.value for v in model.trainable_weights])

    x = tf.cast(
        tf.random.normal(SHAPE), keras.config.dtype_policy().compute_dtype
    )
    for _ in range(3):
        step(x)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="mixed_bfloat16")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, kind, depth = options.worker
        train(name, kind, int(depth), options.dtype)
        return
    print(f"tensors held per [norm + relu] layer, {options.dtype}")
    for name in ("GroupNormalization", "BatchNormalization"):
        for kind, text in KINDS.items():
            held = tensors_per_layer(name, kind, options.dtype)
            print(f"{text.format(name):55} {held:5.2f}", flush=True)


if __name__ == "__main__":
    main()
