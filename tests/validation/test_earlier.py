"""Configurations of Keras 2, TensorFlow Addons and keras-contrib."""

import collections

import keras
import numpy as np
import pytest

from keras_norms import layers
from tests.support.refusals import refusal
from tests.validation.layer_classes import PLAIN_BATCH

# The configurations that these libraries write, with initializers in the
# format of Keras 2.
AFFINE = {
    "name": "norm",
    "trainable": True,
    "dtype": "float32",
    "epsilon": 0.01,
    "beta_initializer": {"class_name": "Zeros", "config": {}},
    "gamma_initializer": {"class_name": "Ones", "config": {}},
    "beta_regularizer": None,
    "gamma_regularizer": {"class_name": "L2", "config": {"l2": 0.5}},
    "beta_constraint": None,
    "gamma_constraint": None,
}
SCALED = {**AFFINE, "center": True, "scale": True}
KERAS_2 = {
    **SCALED,
    "axis": [3],
    "momentum": 0.9,
    "moving_mean_initializer": {"class_name": "Zeros", "config": {}},
    "moving_variance_initializer": {"class_name": "Ones", "config": {}},
}
RENORM = {
    "renorm": True,
    "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0},
    "renorm_momentum": 0.9,
}
ADDONS = {
    **AFFINE,
    "axis": [1, 2],
    "learned_epsilon": True,
    "learned_epsilon_constraint": None,
}
CONFIGS = {
    "keras2-batch": (layers.BatchNormalization, KERAS_2, {}),
    "keras2-fused": (
        layers.BatchNormalization,
        {**KERAS_2, "fused": None, "virtual_batch_size": None},
        {},
    ),
    "keras2-renorm": (
        layers.BatchNormalization,
        {**KERAS_2, **RENORM, "fused": False, "adjustment": None},
        RENORM,
    ),
    "keras2-sync": (layers.CrossReplicaBatchNormalization, KERAS_2, {}),
    "keras2-ghost": (
        layers.GhostBatchNormalization,
        {**KERAS_2, "fused": True},
        {},
    ),
    "addons-group": (
        layers.GroupNormalization,
        {**SCALED, "axis": -1, "groups": 2},
        {"groups": 2},
    ),
    "addons-instance": (
        layers.InstanceNormalization,
        {**SCALED, "axis": -1, "groups": -1},
        {},
    ),
    "addons-instance-built": (
        layers.InstanceNormalization,
        {**SCALED, "axis": -1, "groups": 6},
        {},
    ),
    "addons-filter-response": (
        layers.FilterResponseNormalization,
        ADDONS,
        {"learnable_epsilon": True},
    ),
    "contrib-instance": (
        layers.InstanceNormalization,
        {**SCALED, "axis": 3},
        {},
    ),
}
every_config = pytest.mark.parametrize("name", CONFIGS)


@every_config
def test_configuration_is_converted(name):
    kind, config, arguments = CONFIGS[name]
    layer = kind.from_config(dict(config))
    axis = 3 if config["axis"] in (3, [3]) else -1
    plain = kind(
        axis=axis,
        name="norm",
        epsilon=0.01,
        gamma_regularizer=keras.regularizers.L2(0.5),
        **({"momentum": 0.9} if "momentum" in config else {}),
        **arguments,
    )
    assert layer.get_config() == plain.get_config()
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 6)).astype("float32")
    np.testing.assert_array_equal(layer(x), plain(x))
    assert kind.from_config(layer.get_config()).get_config() == (
        plain.get_config()
    )


@pytest.mark.parametrize("kind", PLAIN_BATCH)
@pytest.mark.parametrize("fused", [None, True, False])
def test_fused_is_ignored(kind, fused):
    assert "fused" not in kind(fused=fused).get_config()


class Wrapped(collections.UserList):
    """A sequence that is not a list, such as TensorFlow's wrappers."""


@pytest.mark.parametrize("axis", [[1, 2], (1, 2), [-3, -2], Wrapped([1, 2])])
def test_filter_response_norm_accepts_position_axes(axis):
    layer = layers.FilterResponseNormalization(axis=axis)
    assert layer.get_config()["axis"] == -1
    with pytest.raises(ValueError, match="expected ndim=4, found ndim=3"):
        layer(np.ones((2, 3, 4), "float32"))


@pytest.mark.parametrize("axis", [[3], (3,), Wrapped([3])])
def test_sequence_of_one_axis(axis):
    assert layers.BatchNormalization(axis=axis).axis == 3


def test_adjustment_of_keras_2_is_refused():
    def adjustment(shape):
        return 1.0, 0.0

    message = refusal(layers.BatchNormalization, adjustment=adjustment)
    assert message == (
        "`adjustment` of Keras 2 does not exist here. Received: adjustment="
        f"{adjustment!r}. Remove the argument, and apply the scale and the "
        "bias in a layer after this one."
    )


def test_axis_none_of_keras_contrib_is_refused():
    assert refusal(layers.InstanceNormalization, axis=None) == (
        "`axis` must be one integer, the channel axis. Received: axis=None, "
        "which normalizes each example as one group in keras-contrib. Use "
        "`GroupNormalization(groups=1)`, whose gamma and beta have one value "
        "per channel instead of one for all channels."
    )


def test_groups_of_instance_normalization_are_fixed():
    layer = layers.InstanceNormalization(groups=3)
    assert refusal(layer.build, (None, 4, 6)) == (
        "`groups` of an instance normalization must be -1 or the number of "
        "channels (6). Received: groups=3. Use `GroupNormalization(groups=3)`."
    )


def test_learned_epsilon_constraint_is_refused():
    constraint = keras.constraints.NonNeg()
    kind = layers.FilterResponseNormalization
    assert refusal(kind, learned_epsilon_constraint=constraint) == (
        "`learned_epsilon_constraint` of TensorFlow Addons does not exist "
        "here: the absolute value of `epsilon_weight` is added to `epsilon`. "
        f"Received: learned_epsilon_constraint={constraint!r}. Remove the "
        "argument, and set `layer.epsilon_weight.constraint` after the layer "
        "is built."
    )
    message = refusal(kind, learnable_epsilon=True, learned_epsilon=False)
    assert message == (
        "`learned_epsilon` of TensorFlow Addons is called `learnable_epsilon` "
        "here, and the two differ. Received: learned_epsilon=False, "
        "learnable_epsilon=True. Use only `learnable_epsilon`."
    )
