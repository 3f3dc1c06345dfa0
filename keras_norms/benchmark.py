"""Layers against those of Keras on this machine, in one run.

`python -m keras_norms benchmark` prints it; `benchmarks/` of the repository
has more shapes, baselines and csv.
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


# One on the other, so that they share what a call of a graph costs in Python
# and TensorFlow, as the layers of a model do.
LAYERS = 16


def medians(candidates, rounds, layers=None):
    """Median milliseconds of each candidate, divided by its layers."""
    return {
        name: 1e3 * seconds / (layers or LAYERS)
        for name, seconds in timing.medians(candidates, rounds).items()
    }


def candidate(
    layer_class, call_arguments, shape, dtype, jit, backward, layers=None
):
    """A function of no arguments that runs so many layers once.

    With `backward`, the output and the gradients of input, gamma and beta.
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
    """A function of no arguments: `apply` of noise, and its gradients."""
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
    """One thread's LAYERS copies of x: the unit of times."""
    x = np.ones(shape, "float32" if dtype == "float32" else "float16")
    target = np.empty_like(x)

    def copy():
        for i in range(LAYERS):
            np.copyto(*((x, target) if i % 2 else (target, x)))

    return copy


def main(rounds=7):
    """Prints times as multiples of a copy of x, and ratios to Keras."""
    head = ("layer", "shape", "mode", "pass", "Keras", "ours", "ratio")
    print("{:20}{:15}{:6}{:18}{:>7}{:>7}{:>7}".format(*head))
    for shape in SHAPES:
        for name, (theirs, ours, call) in PAIRS.items():
            for jit in (False, True):
                for backward in (False, True):
                    how = (call, shape, "float32", jit, backward)
                    times = medians(
                        {
                            "theirs": candidate(theirs, *how),
                            "ours": candidate(ours, *how),
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
    print("Keras, ours: in copies of x. Noisy machines: compare ratios.")
