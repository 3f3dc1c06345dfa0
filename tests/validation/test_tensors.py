"""Bad inputs and masks are refused with the rule, the value and the fix."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.support.refusals import refusal
from tests.validation.layer_classes import ALL
from tests.validation.layer_classes import GROUPED
from tests.validation.messages import ALGEBRA
from tests.validation.messages import BATCH_AXIS
from tests.validation.messages import BOUNDS
from tests.validation.messages import EXAMPLES
from tests.validation.messages import GROUPS
from tests.validation.messages import MASK
from tests.validation.messages import MORE_GROUPS
from tests.validation.messages import NO_DIVISOR
from tests.validation.messages import PART_OF_ROW
from tests.validation.messages import RANK
from tests.validation.messages import REAL
from tests.validation.messages import STRAY
from tests.validation.messages import UNDEFINED
from tests.validation.messages import WEIGHT
from tests.validation.messages import WHOLE

SHAPE = (2, 3, 4)


# Layers, their arguments, a shape that they refuse and the message.
SHAPES = [
    (ALL, {}, (4,), RANK.format((4,), 1)),
    (ALL, {}, (), RANK.format((), 0)),
    *((ALL, {"axis": k}, SHAPE, BOUNDS.format(k, k)) for k in (3, 7, -3, -4)),
    (ALL, {}, (2, 3, None), UNDEFINED.format(-1, (2, 3, None))),
    (ALL, {"axis": 1}, (2, None, 4), UNDEFINED.format(1, (2, None, 4))),
    (GROUPED, {"groups": 5}, SHAPE, MORE_GROUPS),
    (GROUPED, {"groups": 3}, SHAPE, NO_DIVISOR),
]

# The axis, the shapes of inputs and mask, and the sizes of allowed masks.
MASKS = [
    (-1, (4, 5, 6, 3), (3,), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (4, 6), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (4, 5, 3), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (4, 5, 6, 3), (4, 5, 6)),
    (1, (4, 3, 5, 6), (4, 3), (4, 5, 6)),
    (1, (4, 3, 5, 6), (4, 3, 5, 6), (4, 5, 6)),
    (-1, (4, 3), (4, 3), (4,)),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "shape", "message"),
    [(kind, *case) for kinds, *case in SHAPES for kind in kinds],
)
def test_shape(kind, arguments, shape, message):
    layer = kind(**arguments)
    assert refusal(layer, keras.KerasTensor(shape)) == message
    assert refusal(layer.build, shape) == message
    assert not layer.weights


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("axis", "inputs", "mask", "sizes"), MASKS)
def test_mask(kind, axis, inputs, mask, sizes):
    layer = kind(axis=axis, **({"groups": 1} if kind in GROUPED else {}))
    message = MASK.format(sizes=sizes, mask=mask, inputs=inputs, axis=axis)
    x, mask = np.zeros(inputs, "float32"), np.ones(mask, "bool")
    # Keras wraps errors of `call`, which itself raises our message.
    assert f"\x1b[1m{message}\x1b[0m" in refusal(layer, x, mask=mask)
    assert refusal(layer.call, x, mask=mask) == message


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", ["complex64", "str"])
def test_inputs_that_are_not_real(kind, dtype):
    layer = kind(**({"groups": 1} if kind in GROUPED else {}))
    layer.build((2, 3))
    received = "string" if dtype == "str" else dtype
    x = np.ones((2, 3), dtype)
    assert refusal(layer.call, x) == REAL.format(received)


@pytest.mark.parametrize("mask", [[True, False], [1, 0]])
def test_mask_as_a_list(mask):
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    y = layers.InstanceNormalization()(x, mask=mask)
    assert not np.any(y[1])
    assert np.any(y[0])


FUNCTIONS = [
    lambda x, **kwargs: ops.instance_moments(x, **kwargs),
    lambda x, **kwargs: ops.normalize(x, ops.affine, **kwargs),
    lambda x, **kwargs: ops.group_normalization(x, groups=1, **kwargs),
    lambda x, **kwargs: ops.feature_similarity(x, **kwargs),
    lambda x, **kwargs: ops.feature_similarity(x, pooled=True, **kwargs),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_refuse_the_same_inputs(function):
    x = np.ones(SHAPE, "float32")
    assert refusal(function, x[0, 0]) == RANK.format((4,), 1)
    assert refusal(function, x, axis=3) == BOUNDS.format(3, 3)
    assert refusal(function, x, axis=-3) == BOUNDS.format(-3, -3)
    assert refusal(function, x + 0j) == REAL.format("complex64")
    message = MASK.format(sizes=(2, 3), mask=(3,), inputs=SHAPE, axis=-1)
    assert refusal(function, x, mask=np.ones(3, "bool")) == message


def test_group_normalization_refuses_groups():
    x = np.ones(SHAPE, "float32")
    function = ops.group_normalization
    assert refusal(function, x, groups=5) == MORE_GROUPS
    assert refusal(function, x, groups=3) == NO_DIVISOR
    assert refusal(function, x, groups=0) == GROUPS.format(value=0)


def test_moments_refuse_blocks_and_weights():
    moments = ops.instance_moments(np.ones(SHAPE, "float32"))
    assert refusal(moments.pool, groups=5) == MORE_GROUPS
    assert refusal(moments.pool, groups=3) == NO_DIVISOR
    assert refusal(moments.pool, groups=0) == GROUPS.format(value=0)
    message = EXAMPLES.format(name="examples", value=0)
    assert refusal(moments.pool, examples=0) == message
    weight = np.ones(4, "float32")
    assert refusal(moments.blend, moments, weight) == WEIGHT


@pytest.mark.parametrize("result", [(1, 2), [], None], ids=str)
def test_algebra_must_return_coefficients(result):
    x = np.ones(SHAPE, "float32")
    message = ALGEBRA.format(type(result).__name__)
    assert refusal(ops.normalize, x, lambda moments: result) == message


def test_variables_that_are_not_parameters_are_refused():
    stray = keras.Variable(np.ones(4, "float32"), name="stray")
    x = tf.ones(SHAPE)
    with tf.GradientTape() as tape:
        y, _ = ops.normalize(x, lambda moments: ops.affine(moments, stray))
    assert refusal(tape.gradient, y, stray.value) == STRAY


def test_moments_of_the_batch_cannot_be_split():
    batch = ops.instance_moments(np.ones(SHAPE, "float32")).pool(examples=None)
    assert refusal(batch.pool, examples=2) == WHOLE


def test_rows_of_several_examples_cannot_be_split():
    """A third example would be half a row."""
    moments = ops.instance_moments(np.ones(SHAPE, "float32"))
    rows = dataclasses.replace(moments, examples=2)
    assert refusal(rows.pool, examples=3) == PART_OF_ROW


def test_thresholded_linear_unit_axis():
    kind = layers.ThresholdedLinearUnit
    assert refusal(kind, axis=0) == BATCH_AXIS
    assert refusal(kind().build, (4,)) == RANK.format((4,), 1)
    assert refusal(kind(axis=3).build, SHAPE) == BOUNDS.format(3, 3)


def test_no_channels():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        layers.GroupNormalization(groups=1).build((4, 3, 0))
    assert str(error.value) == (
        "Axis -1 of the inputs must hold one channel or more. Received: an "
        "input of shape (4, 3, 0). Name the channel axis."
    )
