"""The overhead of a call with almost no arithmetic.

`python -m benchmarks.overhead` times one layer on a small input, in graph
mode, forward and forward + backward, against `tf.nn.relu`. The csv has medians
of interleaved rounds, ratios and versions.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from benchmarks import timing
from keras_norms import benchmark
from keras_norms import layers

SHAPE = (1, 8, 8, 32)
BASELINE = "tf.nn.relu"
LAYERS = {
    "GroupNormalization": (layers.GroupNormalization, {}),
    "BatchNormalization": (layers.BatchNormalization, {"training": True}),
    "BatchNormalization, inference": (
        layers.BatchNormalization,
        {"training": False},
    ),
    "keras GroupNormalization": (keras.layers.GroupNormalization, {}),
    "keras BatchNormalization": (
        keras.layers.BatchNormalization,
        {"training": True},
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    timing.add_arguments(parser, "overhead.csv", rounds=1001)
    options = parser.parse_args()
    rows, environment = [], timing.layer_environment()
    for backward in (False, True):
        settings = (SHAPE, "float32", False, backward)
        candidates = {BASELINE: benchmark.training(tf.nn.relu, [], *settings)}
        for name, (layer, call) in LAYERS.items():
            candidates[name] = benchmark.candidate(
                layer, call, *settings, layers=1
            )
        times = benchmark.medians(candidates, options.rounds, layers=1)
        ratios = timing.ratios(times, BASELINE)
        rows += [
            {
                "layer": name,
                "pass": "forward+backward" if backward else "forward",
                "ms": round(time, 4),
                "times_relu": round(ratios[name], 2),
                **environment,
            }
            for name, time in times.items()
        ]
    timing.write(options.csv, rows)
    for row in rows:
        print(f"{row['layer']:32}{row['pass']:18}{row['times_relu']:6}")
    print(f"written: {options.csv.name}")


if __name__ == "__main__":
    main()
