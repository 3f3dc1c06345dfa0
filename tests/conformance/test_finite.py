"""No intermediate result of a finite computation is infinite or NaN.

Users find the operation that a NaN comes from by
`tf.debugging.enable_check_numerics`, which must not stop in our layers.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms
from keras_norms import ops
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS

# The file takes half a minute.
pytestmark = pytest.mark.slow
SHAPE = (4, 3, CHANNELS)
RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, SHAPE).astype("float32")
MASK = RNG.random(SHAPE[:2]) < 0.6
MASK[0] = False
FEW = [
    d
    for d in DESCRIPTORS
    if d.name.startswith(("Switchable", "BatchInstance", "Group"))
]
MASKS = {"none": None, "some": MASK, "all": np.zeros(SHAPE[:2], bool)}


@pytest.fixture
def checked():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize(
    ("mode", "descriptor"),
    # With the native library only the algebra consists of operations, so a
    # few layers are enough.
    [("never", d) for d in DESCRIPTORS] + [("auto", d) for d in FEW],
    ids=[f"never-{i}" for i in IDS] + [f"auto-{d.id}" for d in FEW],
)
def test_every_operation_is_finite(descriptor, mode):
    layer = descriptor.create()
    layer.build((None, *SHAPE[1:]))
    modes = [{"training": True}, {"training": False}]
    for arguments in modes if descriptor.running else [{}]:
        for mask in MASKS.values():
            for x in (X, np.zeros_like(X), X[:0]):
                rows = mask if mask is None else mask[: len(x)]
                with ops.using_native(mode), tf.GradientTape() as tape:
                    x = tf.constant(x)
                    tape.watch(x)
                    y = layer(x, mask=rows, **arguments)
                with ops.using_native(mode):
                    weights = [v.value for v in layer.trainable_variables]
                    tape.gradient(y, [x, *weights])


@pytest.mark.usefixtures("checked")
def test_companion_layers_are_finite():
    layers = keras_norms.layers
    dense = keras.layers.Dense(2, kernel_initializer="ones")
    for layer in (
        layers.WeightStandardization(dense),
        layers.ThresholdedLinearUnit(),
    ):
        with tf.GradientTape() as tape:
            y = layer(X)
        tape.gradient(y, [v.value for v in layer.trainable_variables])
    ops.feature_similarity(X, MASK)
    ops.feature_similarity(np.zeros_like(X), MASKS["all"])
