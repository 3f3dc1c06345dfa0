"""One training step of a described layer, against its float64 formula."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS
from tests.conformance.descriptors import RUNNING
from tests.conformance.descriptors import RUNNING_IDS

every_layer = pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
every_running_layer = pytest.mark.parametrize(
    "descriptor", RUNNING, ids=RUNNING_IDS
)


def data(shape, axis, dtype="float64", mean=0.0, seed=0):
    """x, dy, gamma and beta; channels have different means and deviations."""
    rng = np.random.default_rng(seed)
    sizes = [1] * len(shape)
    sizes[axis] = -1
    step = np.arange(1.0, CHANNELS + 1).reshape(sizes)
    x = rng.normal(size=shape) * step + mean + step
    return (
        x.astype(dtype),
        rng.normal(size=shape).astype(dtype),
        np.linspace(0.5, 2, CHANNELS),
        np.linspace(-1, 1, CHANNELS),
    )


def build(descriptor, shape, axis, gamma, beta, **more):
    layer = descriptor.create(axis=axis, **more)
    layer.build(shape)
    rng = np.random.default_rng(4)
    for variable in layer.trainable_variables:
        variable.assign(rng.uniform(0.2, 0.8, variable.shape))
    assign_affine(layer, gamma, beta)
    return layer


def assign_affine(layer, gamma, beta):
    """Sets gamma and beta of a layer, if it has them."""
    for variable, value in ((layer.gamma, gamma), (layer.beta, beta)):
        if variable is not None:
            variable.assign(value)


def weights(layer):
    return {v.name: v.numpy() for v in layer.trainable_variables}


def train(layer, arguments, **options):
    """Returns a function of x, dy and a mask: y and all gradients, by name."""

    def step(x, dy, mask=None):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask, **arguments)
        names = [v.name for v in layer.trainable_variables]
        sources = [x, *(v.value for v in layer.trainable_variables)]
        gradients = tape.gradient(y, sources, dy)
        return dict(zip(["y", "dx", *names], [y, *gradients], strict=True))

    if options.pop("eager", False):
        return step
    return tf.function(step, **options)


def check(results, expected, tolerance):
    assert set(results) == set(expected)
    for name, want in expected.items():
        scale = max(1.0, np.abs(want).max(initial=0))
        error = np.abs(results[name].numpy() - want).max(initial=0) / scale
        assert error < tolerance, name


def as_float64(results):
    return {name: tf.cast(r, "float64") for name, r in results.items()}
