"""Compares the speed of the layers with Keras on this machine.

`python -m keras_norms benchmark` prints the comparison. The folder
`benchmarks/` of the repository has more shapes and baselines, and writes csv
files.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_norms import layers
from keras_norms import timing

SHAPES = ((32, 32, 32, 64), (8, 56, 56, 256))

PAIRS = {
    "GroupNormalization": (
        keras.layers.GroupNormalization,
        layers.GroupNormalization,
        {},
    ),
    "BatchNormalization": (
        keras.layers.BatchNormalization,
        layers.BatchNormalization,
        {"training": True},
    ),
}


# The number of layers in a stack. They share the time that one call of a graph
# takes in Python and TensorFlow, as the layers of a model do.
LAYERS = 16


def medians(candidates, rounds, layers=None):
    """The median time of each function, in milliseconds per layer.

    Rounds are interleaved, so that other work of the machine affects all
    functions equally. Only ratios within one call are meaningful.

    Args:
        candidates: functions without arguments, by name.
        rounds: how often each function is timed.
        layers: the number of layers that each function runs.
    """
    return {
        name: 1e3 * seconds / (layers or LAYERS)
        for name, seconds in timing.medians(candidates, rounds).items()
    }


def candidate(
    layer_class, call_arguments, shape, dtype, jit, backward, layers=None
):
    """A function without arguments that runs a stack of layers once.

    With `backward`, it also computes the gradients of the input, gamma and
    beta.
    """
    policy = dtype if dtype.startswith("float32") else f"mixed_{dtype}"
    stack = [layer_class(dtype=policy) for _ in range(layers or LAYERS)]
    for layer in stack:
        layer.build(shape)

    def apply(x):
        for layer in stack:
            x = layer(x, **call_arguments)
        return x

    weights = [v.value for layer in stack for v in layer.trainable_variables]
    return training(apply, weights, shape, dtype, jit, backward)


def training(apply, weights, shape, dtype, jit, backward):
    """A function without arguments that runs `apply` on random numbers.

    With `backward`, it also computes the gradients of the input and of the
    weights.
    """
    x = tf.cast(tf.random.normal(shape, seed=1), dtype)
    dy = tf.cast(tf.random.normal(shape, seed=2), dtype)

    @tf.function(jit_compile=jit)
    def forward(x, dy):
        return apply(x)

    @tf.function(jit_compile=jit)
    def both(x, dy):
        with tf.GradientTape() as tape:
            tape.watch([x, *weights])
            y = apply(x)
        return y, tape.gradient(y, [x, *weights], dy)

    function = both if backward else forward
    return lambda: function(x, dy)


def copying(shape, dtype):
    """A function that copies x `LAYERS` times, in one thread.

    Times are given in units of one copy.
    """
    x = np.ones(shape, "float32" if dtype == "float32" else "float16")
    target = np.empty_like(x)

    def copy():
        for i in range(LAYERS):
            np.copyto(*((x, target) if i % 2 else (target, x)))

    return copy


def main(rounds=7):
    """Prints times in units of a copy of x, and their ratios."""
    head = ("layer", "shape", "mode", "pass", "Keras", "ours", "ratio")
    print("{:20}{:15}{:6}{:18}{:>7}{:>7}{:>7}".format(*head))
    for shape in SHAPES:
        for name, (theirs, ours, call) in PAIRS.items():
            for jit in (False, True):
                for backward in (False, True):
                    options = (call, shape, "float32", jit, backward)
                    times = medians(
                        {
                            "theirs": candidate(theirs, *options),
                            "ours": candidate(ours, *options),
                            "copy": copying(shape, "float32"),
                        },
                        rounds,
                    )
                    copies = timing.ratios(times, "copy")
                    print(
                        f"{name:20}{'x'.join(map(str, shape)):15}"
                        f"{'jit' if jit else 'graph':6}"
                        f"{'forward+backward' if backward else 'forward':18}"
                        f"{copies['theirs']:7.1f}"
                        f"{copies['ours']:7.1f}"
                        f"{times['theirs'] / times['ours']:6.1f}x"
                    )
    print("The times of Keras and ours are in units of a copy of x.")
    print("On a machine that does other work, only the ratios are meaningful.")
