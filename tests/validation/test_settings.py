"""Bad arguments are refused with the rule, the value and the fix."""

import keras
import numpy as np
import pytest

from keras_norms import layers
from tests.support.refusals import refusal
from tests.validation.layer_classes import ALL
from tests.validation.layer_classes import BATCH
from tests.validation.layer_classes import CONVOLVED
from tests.validation.layer_classes import CROSS
from tests.validation.layer_classes import DYNAMIC
from tests.validation.layer_classes import FILTER
from tests.validation.layer_classes import GROUPED
from tests.validation.layer_classes import NOT_SPECIAL
from tests.validation.layer_classes import PLAIN_BATCH
from tests.validation.layer_classes import UNDECIDED
from tests.validation.layer_classes import UNIFIED
from tests.validation.messages import AFFINES
from tests.validation.messages import AXIS
from tests.validation.messages import BATCH_AXIS
from tests.validation.messages import BOOLEAN
from tests.validation.messages import CLIPPING
from tests.validation.messages import COSINE
from tests.validation.messages import EXAMPLES
from tests.validation.messages import EXCLUSIVE
from tests.validation.messages import FRACTION
from tests.validation.messages import GROUPS
from tests.validation.messages import KEYS
from tests.validation.messages import NEGATIVE
from tests.validation.messages import NOT_NEGATIVE
from tests.validation.messages import ODD
from tests.validation.messages import READINGS
from tests.validation.messages import REDUCTION
from tests.validation.messages import REPLICAS
from tests.validation.messages import RUNNING
from tests.validation.messages import SCOPES
from tests.validation.messages import STATISTICS
from tests.validation.messages import SWAPPED
from tests.validation.messages import SYNCHRONIZED
from tests.validation.messages import VARIANCES
from tests.validation.messages import VIRTUAL
from tests.validation.messages import WRAPPED

NOT_NUMBERS = ([3.0], 3.0, {"rmax": "3"}, {"dmax": float("nan")})
OUTSIDE = (-0.1, 1.1, float("nan"), "0.9", None, True)
NO_COUNT = (0, -1, 2.5, "2", True)

# Layers, the name of an argument, bad values and the message.
ARGUMENTS = [
    (ALL, "axis", ([2, 3], (2, 3), [], True, 1.5, "1"), AXIS),
    (NOT_SPECIAL, "axis", ([1, 2], (1, 2), None), AXIS),
    (FILTER, "axis", ([1, 2, 3], None), AXIS),
    (ALL, "axis", (0, [0]), BATCH_AXIS),
    (ALL, "epsilon", (-1e-3, float("inf"), *OUTSIDE[2:], -1), NOT_NEGATIVE),
    (GROUPED, "groups", (0, -2, 1.5, "32", True, None), GROUPS),
    (BATCH, "momentum", OUTSIDE, FRACTION),
    (BATCH, "inference_weight", OUTSIDE, FRACTION),
    (PLAIN_BATCH, "renorm_momentum", OUTSIDE, FRACTION),
    (PLAIN_BATCH, "ghost_batch_size", NO_COUNT, EXAMPLES),
    (GROUPED[:1], "examples_per_group", NO_COUNT, EXAMPLES),
    (CROSS, "replicas_per_group", NO_COUNT, REPLICAS),
    (CROSS, "synchronized", (False,), SYNCHRONIZED),
    (PLAIN_BATCH, "virtual_batch_size", (4,), VIRTUAL),
    (PLAIN_BATCH, "fused", (1, "yes"), BOOLEAN),
    (PLAIN_BATCH, "renorm_clipping", ({"rmax": 3.0, "dmix": 5.0},), KEYS),
    (PLAIN_BATCH, "renorm_clipping", ({"rmax": 1.0, "rmin": 2.0},), SWAPPED),
    (PLAIN_BATCH, "renorm_clipping", ({"dmax": -1.0},), NEGATIVE),
    (PLAIN_BATCH, "renorm_clipping", NOT_NUMBERS, CLIPPING),
    (PLAIN_BATCH, "renorm", (1, None, "yes"), BOOLEAN),
    (UNDECIDED, "synchronized", (1, "no"), BOOLEAN),
    (PLAIN_BATCH, "ghost_statistics", ("all", None), STATISTICS),
    (DYNAMIC, "scope", ("channel", None, 1), SCOPES),
    (DYNAMIC, "reduction", (0, 0.5, -1, "24", None, float("nan")), REDUCTION),
    (DYNAMIC, "inference_statistics", ("moving",), RUNNING),
    (DYNAMIC, "separate", (1,), BOOLEAN),
    (DYNAMIC, "use_bias", (None,), BOOLEAN),
    (BATCH, "running_variance", ("biased", 1), VARIANCES),
    (UNIFIED, "bound", (-1.1, 1.5, "0.8", None), COSINE),
    (UNIFIED, "similarity_momentum", OUTSIDE, FRACTION),
    (UNIFIED, "similarity_examples", NO_COUNT, EXAMPLES),
    (UNIFIED, "calibrate_center", (1, None), BOOLEAN),
    (UNIFIED, "calibrate_scale", ("representative",), BOOLEAN),
    (UNIFIED, "affine", ("conv", None), AFFINES),
    (UNIFIED, "reading", ("0.2", None), READINGS),
    (CONVOLVED, "kernel_size", (0, 2, 2.5, "3", None, True), ODD),
    (CONVOLVED[1:], "use_bias", (1, None), BOOLEAN),
    (FILTER, "learnable_epsilon", (1,), BOOLEAN),
]


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (kind, name, value, message)
        for kinds, name, values, message in ARGUMENTS
        for value in values
        for kind in kinds
    ],
)
def test_argument(kind, name, value, message):
    message = message.format(name=name, value=repr(value))
    assert refusal(kind, **{name: value}) == message


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, "ghost_batch_size") for kind in PLAIN_BATCH]
    + [(layers.BatchGroupNormalization, "examples_per_group")],
)
def test_blocks_and_replicas_exclude_each_other(kind, name):
    arguments = {name: 2, "synchronized": True}
    assert refusal(kind, **arguments) == EXCLUSIVE.format(name=name)


@pytest.mark.parametrize("name", ["axis", "groups"])
def test_numpy_integers_are_accepted(name):
    layer = layers.GroupNormalization(**{name: np.int64(4)})
    assert getattr(layer, name) == 4


@pytest.mark.parametrize("axis", [[3], (3,)])
def test_list_of_one_axis(axis):
    assert all(kind(axis=axis).axis == 3 for kind in ALL)


def test_renorm_refuses_sequential_statistics():
    message = refusal(
        layers.BatchNormalization, renorm=True, ghost_statistics="sequential"
    )
    assert message == (
        "`renorm` updates its moving averages once per batch, and "
        '`ghost_statistics="sequential"` makes one update per ghost batch. '
        'Received both. Use `ghost_statistics="batch"` or "average" with '
        "renorm."
    )


@pytest.mark.parametrize("bad", [None, 3, keras.layers.ReLU(name="relu")])
def test_weight_standardization_requires_a_kernel(bad):
    message = WRAPPED.format(repr(bad), type(bad).__name__)
    assert refusal(layers.WeightStandardization, bad) == message


def test_weight_standardization_refuses_an_epsilon():
    dense = keras.layers.Dense(2)
    message = refusal(layers.WeightStandardization, dense, epsilon=-1)
    assert message == NOT_NEGATIVE.format(name="epsilon", value=-1)
