"""Trains models on one device, and on four with `keras.distribution`.

`test_backends.py` runs it in another process, on JAX:

    python data_parallel_program.py layers.pickle results.pickle
"""

import pickle
import sys

import keras
import numpy as np

import keras_norms


def weights_after_training(name, arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 6)),
            keras.layers.Dense(6),
            getattr(keras_norms.layers, name)(**arguments),
            keras.layers.Dense(2),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse")
    x = np.random.default_rng(0).normal(2, 3, (48, 8, 6)).astype("float32")
    y = x[..., :2]
    model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


def main(layers_path, results_path):
    with open(layers_path, "rb") as file:
        layers = pickle.load(file)
    alone = [weights_after_training(*layer) for layer in layers]
    devices = keras.distribution.list_devices()
    assert len(devices) == 4
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices)
    )
    distributed = [weights_after_training(*layer) for layer in layers]
    with open(results_path, "wb") as file:
        pickle.dump((alone, distributed), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
