"""Native operations check their arguments, in eager mode and under XLA."""

import re

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import ops
from keras_norms.native import cache
from keras_norms.native import loader
from tests.support.native_library import X
from tests.support.native_library import built


@built
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"axis": 4},
            "x must have rank 2 or more, and axis must be at least 1 and less "
            "than the rank of x. Received: axis=4 for x of shape [5,6,7,12].",
        ),
        (
            {"center": np.zeros((2, 12))},
            "center must have shape [5,12]. Received: shape [2,12].",
        ),
        (
            {"mask": np.ones((3,), bool)},
            "mask must be empty or have 210 elements, one for each position "
            "of x. Received: shape [3].",
        ),
    ],
)
def test_operations_refuse_what_does_not_fit(change, message):
    """Called by hand: layers check before."""
    table = np.ones((5, 12), "float32")
    arguments = {
        "x": X,
        "mask": np.ones((0,), bool),
        "center": table,
        "scale": table,
        "shift": table,
        "axis": 3,
        "examples": 1,
        "activation": "identity",
        **change,
    }
    arguments["center"] = np.float32(arguments["center"])
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        loader.load().keras_norms_apply(**arguments)
    assert message in str(refused.value)


@built
@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (
                change,
                "x must have rank 2 to 5 with the channels last, and window "
                f"must be odd and positive. Received: axis={axis}, "
                f"window={window} for x of shape [5,6,7,12].",
            )
            for change, axis, window in (
                ({"axis": 1}, 1, 3),
                ({"window": 2}, 3, 2),
            )
        ),
        (
            {"window": 5},
            "kernel must have shape [25,12]. Received: shape [9,12].",
        ),
        (
            {"shift": np.ones((1, 12), "float32")},
            "shift must be empty or have shape [5,12]. Received: shape "
            "[1,12].",
        ),
    ],
)
def test_depthwise_convolution_refuses_what_does_not_fit(change, message):
    arguments = {
        "x": X,
        "kernel": np.ones((9, 12), "float32"),
        "shift": np.ones((5, 12), "float32"),
        "axis": 3,
        "window": 3,
        **change,
    }
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        loader.load().keras_norms_depthwise(**arguments)
    assert message in str(refused.value)


@built
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"center": 6},
            "center must have shape [5,12]. Received: shape [6,12].",
        ),
        (
            {"mask": 3},
            "mask must be empty or have 210 elements, one for each position "
            "of x. Received: shape [3].",
        ),
    ],
)
def test_compiled_operations_refuse_what_does_not_fit(change, message):
    """Also shapes that are not known before XLA compiles."""
    loader.load(cache.XLA_LIBRARY)
    rows = {"center": 5, "mask": 0, **change}
    table = tf.ones((5, 12))

    types = ("float32", "bool", "float32")
    unknown = [tf.TensorSpec(None, dtype) for dtype in types]

    @tf.function(jit_compile=True, input_signature=unknown)
    def apply(x, mask, center):
        return loader.load().keras_norms_apply(
            *(x, mask, center, table, table),
            axis=3,
            examples=1,
            activation="identity",
        )

    mask = tf.ones((rows["mask"],), "bool")
    center = tf.ones((rows["center"], 12))
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        apply(X, mask, center)
    assert message in str(refused.value)
    with pytest.raises(ValueError, match=re.escape(message)):
        tf.function(apply.python_function)(X, mask, center)


@built
@pytest.mark.parametrize("epsilon", [0.25, np.float32(0.25)])
def test_epsilon_is_any_kind_of_number(epsilon):
    """It goes to the library as text."""
    x = np.array([[2.0, 2.0]], "float32")
    with ops.using_native("always"):
        y = ops.group_normalization(
            x, groups=1, epsilon=epsilon, beta=np.array([0.0, 1.0])
        )
    np.testing.assert_array_equal(y, [[0.0, 1.0]])


@built
@pytest.mark.parametrize("jit", [False, True])
def test_every_byte_but_0_is_true_in_a_mask(jit):
    mask = np.frombuffer(bytes([255, 2, 0, 0]), bool).reshape(1, 4)
    x = np.array([1.0, 3.0, 100.0, 100.0], "float32").reshape(1, 4, 1)

    @tf.function(jit_compile=jit)
    def tables(x, mask):
        moments = ops.instance_moments(x, mask)
        return moments.count[:, None], moments.mean, moments.variance

    with ops.using_native("always"):
        have = tables(tf.constant(x), tf.constant(mask))
    np.testing.assert_array_equal(np.ravel(have), [2, 2, 1])
