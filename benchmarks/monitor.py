"""The time that `NormalizationMonitor` takes.

`python -m benchmarks.monitor` trains applications of Keras, with Keras's
layers and with those of keras_norms. In turns, it times a training step
and one measurement of the monitor, which follows each epoch by default. The
csv has their ratio, the share of an epoch of 100 steps, and versions.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import timing
from keras_norms import models
from keras_norms.callbacks import NormalizationMonitor

APPLICATIONS = ("ResNet50", "MobileNetV2")
PACKAGES = ("keras", "keras_norms")
STEP = "training step"
STEPS = 100


def measured(name, package, options):
    """The row of an application."""
    create = getattr(keras.applications, name)
    shape = (options.size, options.size, 3)
    model = create(weights=None, input_shape=shape, classes=10)
    if package != "keras":
        model = models.convert_normalization(model, package)
    model.compile("sgd", "sparse_categorical_crossentropy")
    random = np.random.default_rng(0)
    x = random.uniform(0, 255, (options.examples, *shape)).astype("float32")
    y = random.integers(0, 10, options.examples)
    monitor = NormalizationMonitor(x, batch_size=options.examples)
    monitor.set_model(model)
    monitor.on_train_begin()
    times = timing.medians(
        {
            STEP: lambda: model.train_on_batch(x, y),
            "monitor": lambda: monitor.on_epoch_end(0),
        },
        options.rounds,
    )
    ratio = timing.ratios(times, STEP)["monitor"]
    return {
        "application": name,
        "layers": package,
        "examples": options.examples,
        "size": options.size,
        "step_ms": round(1e3 * times[STEP], 1),
        "monitor_steps": round(ratio, 3),
        "share_of_100_steps": round(ratio / STEPS, 5),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--examples", type=int, default=32)
    timing.add_arguments(parser, "monitor.csv", rounds=9)
    options = parser.parse_args()
    timing.keep_memory()
    rows = []
    for name in APPLICATIONS:
        for package in PACKAGES:
            row = measured(name, package, options)
            rows.append(row)
            print(f"{name:12} {package:12} {row['monitor_steps']:6} steps")
    environment = timing.layer_environment()
    timing.write(options.csv, [{**row, **environment} for row in rows])


if __name__ == "__main__":
    main()
