"""Layers against those of Keras, in one run: `python -m benchmarks.layers`.

Forward, and forward + backward (output and the gradients of input, gamma and
beta), in graph mode and under `jit_compile=True`. Prints medians, their
multiples of a copy of x, and ratios (above 1: faster than Keras), and writes
them as csv with versions. These machines are noisy: only ratios count.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import keras_norms
from benchmarks import timing

SHAPES = [
    (8, 56, 56, 256),
    (32, 32, 32, 64),
    (32, 56, 56, 64),
    (8, 112, 112, 64),
    (128, 7, 7, 2048),
    (1, 256, 256, 128),
]
QUICK = SHAPES[:2]

PAIRS = {
    "GroupNormalization": (
        keras.layers.GroupNormalization,
        keras_norms.layers.GroupNormalization,
        {},
    ),
    "BatchNormalization": (
        keras.layers.BatchNormalization,
        keras_norms.layers.BatchNormalization,
        {"training": True},
    ),
}


def candidate(layer_class, call_arguments, shape, dtype, jit, backward):
    """A function of no arguments that runs the layer once."""
    policy = "float32" if dtype == "float32" else f"mixed_{dtype}"
    layer = layer_class(dtype=policy)
    layer.build(shape)
    x = tf.cast(tf.random.normal(shape, seed=1), dtype)
    dy = tf.cast(tf.random.normal(shape, seed=2), dtype)

    @tf.function(jit_compile=jit)
    def forward(x, dy):
        return layer(x, **call_arguments)

    @tf.function(jit_compile=jit)
    def both(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **call_arguments)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        return y, tape.gradient(y, sources, dy)

    function = both if backward else forward
    return lambda: function(x, dy)


def measure(shape, dtype, rounds, progress):
    """Rows of the csv for one shape."""
    x = np.ones(shape, "float32" if dtype == "float32" else "float16")
    target = np.empty_like(x)
    for name, (baseline, ours, call_arguments) in PAIRS.items():
        for jit in (False, True):
            for backward in (False, True):
                settings = (call_arguments, shape, dtype, jit, backward)
                times = timing.medians(
                    {
                        "keras": candidate(baseline, *settings),
                        "ours": candidate(ours, *settings),
                        "copy": lambda: np.copyto(target, x),
                    },
                    rounds,
                )
                progress.update()
                yield {
                    "layer": name,
                    "shape": "x".join(map(str, shape)),
                    "dtype": dtype,
                    "mode": "jit" if jit else "graph",
                    "pass": "forward+backward" if backward else "forward",
                    "keras_ms": round(times["keras"], 3),
                    "ours_ms": round(times["ours"], 3),
                    "keras_copies": round(times["keras"] / times["copy"], 2),
                    "ours_copies": round(times["ours"] / times["copy"], 2),
                    "ratio": round(times["keras"] / times["ours"], 2),
                }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two shapes")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--csv",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "results" / "layers.csv",
    )
    options = parser.parse_args()
    shapes = QUICK if options.quick else SHAPES
    rows = []
    with tqdm(total=len(shapes) * len(PAIRS) * 4, unit="case") as progress:
        for shape in shapes:
            rows += measure(shape, options.dtype, options.rounds, progress)
    environment = timing.environment()
    timing.write(options.csv, [{**row, **environment} for row in rows])
    print(
        f"{'layer':20} {'shape':16} {'mode':6} {'pass':17}"
        f"{'keras':>8} {'ours':>8}  copies of x   ratio"
    )
    for row in rows:
        print(
            f"{row['layer']:20} {row['shape']:16} {row['mode']:6} "
            f"{row['pass']:17}{row['keras_copies']:8} {row['ours_copies']:8}"
            f"{row['ratio']:21}"
        )
    print(f"written: {options.csv.name}")


if __name__ == "__main__":
    main()
