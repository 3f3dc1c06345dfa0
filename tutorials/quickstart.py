"""Test error against images per replica, method by method.

A small version of the experiment of the group normalization paper (Wu and He
2018, figure 1). Two replicas train a residual network with 2, 8 or 32 images
per replica and step. The learning rate is proportional to the batch, and the
number of epochs is the same, so there are 16 times fewer steps at 32 than at
2. Then the last model is saved in both formats, and a new process loads each
copy.

Differences from the paper: the maps of the digits shrink to one pixel, where
the batch statistics of 2 images come from 2 numbers. The momentum of running
statistics is lower than the default, because runs are short. The learning rate
is half that of the paper, and starts at a quarter of it.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from keras_norms.layers import BatchGroupNormalization
from keras_norms.layers import BatchNormalization
from keras_norms.layers import CrossReplicaBatchNormalization
from keras_norms.layers import GroupNormalization
from tutorials import data
from tutorials import figure
from tutorials import reload
from tutorials.network import residual_network

REPLICAS = 2
RATE = 0.05  # at 32 images per replica


def methods(momentum=0.9):
    """Functions that create layers, by the name of the method."""
    return {
        "local batch norm": lambda **kwargs: BatchNormalization(
            momentum=momentum, **kwargs
        ),
        "cross-replica batch norm": lambda **kwargs: (
            CrossReplicaBatchNormalization(momentum=momentum, **kwargs)
        ),
        "group norm": lambda **kwargs: GroupNormalization(groups=4, **kwargs),
        "batch-group norm": lambda **kwargs: BatchGroupNormalization(
            groups=8, momentum=momentum, epsilon=1e-3, **kwargs
        ),
    }


class Runs:
    """All trainings of one method.

    One model serves all of them, with new weights for each, because tracing a
    training function for two replicas takes longer than training with it.
    """

    def __init__(self, strategy, shape, classes, normalization, seeds):
        self.strategy = strategy
        self.first_weights = []
        with strategy.scope():
            # The weights of all seeds come first, because after a new seed
            # TensorFlow compiles all functions again.
            for seed in range(seeds):
                keras.utils.set_random_seed(seed)
                self.model = residual_network(shape, classes, normalization)
                self.first_weights.append(self.model.get_weights())
            self.model.compile(
                keras.optimizers.SGD(RATE, momentum=0.9),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
                # XLA cannot compile for two virtual CPUs.
                jit_compile=False,
            )

    def test_error(self, train, test, images, seed, epochs):
        """Trains from scratch and returns the test error in percent."""
        with self.strategy.scope():
            self.model.set_weights(self.first_weights[seed])
            for variable in self.model.optimizer.variables:
                variable.assign(tf.zeros_like(variable))
        first = RATE * images / 32

        def rate(epoch):
            # A warm-up: with the full rate from the start, some runs with few
            # large steps diverge.
            return first * (1 - epoch / epochs if epoch else 0.25)

        size = images * REPLICAS
        self.model.fit(
            data.batches(train, size, seed),
            epochs=epochs,
            steps_per_epoch=int(train.cardinality()) // size,
            callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        )
        _, accuracy = self.model.evaluate(test, verbose=0)
        return 100 * (1 - accuracy)


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset",
        default="digits",
        help="any TFDS data set of labeled images",
    )
    parser.add_argument(
        "--full", action="store_true", help="five batch sizes, five seeds"
    )
    parser.add_argument("--output", type=pathlib.Path, default="quickstart")
    parser.add_argument(
        "--data-dir", help="of TFDS; by default in the output folder"
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, help="number of seeds")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", help="images per replica"
    )
    parser.add_argument(
        "--examples", type=int, help="number of training and of test images"
    )
    options = parser.parse_args(argv)
    sizes = [2, 4, 8, 16, 32] if options.full else [2, 8, 32]
    options.batch_sizes = sorted(options.batch_sizes or sizes)
    options.seeds = options.seeds or (5 if options.full else 3)
    options.data_dir = options.data_dir or options.output / "data"
    return options


def main(argv=None):
    options = arguments(argv)
    start = time.monotonic()
    # These must come before any other call of TensorFlow. Images are small, so
    # replicas use the cores better than the threads of one operation.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
    )
    options.output.mkdir(parents=True, exist_ok=True)
    train, test, shape, classes = data.load(
        options.dataset, options.data_dir, options.examples
    )
    # TensorFlow allows one number of replicas per process, so one strategy
    # serves all methods.
    strategy = tf.distribute.MirroredStrategy(
        [f"CPU:{replica}" for replica in range(REPLICAS)]
    )

    errors = {}
    for name, normalization in methods().items():
        runs = Runs(strategy, shape, classes, normalization, options.seeds)
        for images in options.batch_sizes:
            for seed in range(options.seeds):
                print(f"\n{name}, {images} images per replica, seed {seed}")
                error = runs.test_error(
                    train, test, images, seed, options.epochs
                )
                errors.setdefault(name, {}).setdefault(images, []).append(
                    error
                )
                print(f"test error {error:.2f}%", flush=True)

    table = figure.table(errors)
    (options.output / "table.md").write_text(table + "\n")
    figure.draw(errors, options.output / "errors.png", options.dataset)
    print(f"\nTest error in percent, mean and deviation of {options.seeds}:")
    print(f"\n{table}\n\n{figure.conclusion(errors)}\n")

    _, height, width, _ = runs.model.layers[-2].input.shape
    few = options.batch_sizes[0]
    print(
        f"The last maps are {height} by {width}, where a local batch norm of "
        f"{few} images computes statistics of {few * height * width} numbers."
        "\n"
    )

    images = np.stack([image for image, _ in test.unbatch().take(32)])
    agrees = reload.check(runs.model, images, options.output)
    print(f"\n{time.monotonic() - start:.0f} s, results in {options.output}")
    return 0 if agrees else 1


if __name__ == "__main__":
    raise SystemExit(main())
