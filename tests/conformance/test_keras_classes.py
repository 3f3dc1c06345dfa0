"""`isinstance` finds Keras's classes, whose behavior is not inherited."""

import keras
import numpy as np
import pytest

import keras_norms
from keras_norms.layers import BaseNormalization
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import IDS

BATCH, GROUP = keras.layers.BatchNormalization, keras.layers.GroupNormalization
KINDS = {
    "GroupNormalization": GROUP,
    "InstanceNormalization": GROUP,
    "FilterResponseNormalization": None,
}


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
def test_isinstance(descriptor):
    layer = descriptor.create()
    kind = KINDS.get(descriptor.name, BATCH)
    for each in (BATCH, GROUP):
        assert isinstance(layer, each) == (each is kind)


@pytest.mark.parametrize(
    "name", sorted({d.name for d in DESCRIPTORS if KINDS.get(d.name, BATCH)})
)
def test_configurations_of_keras(name):
    """Arguments that Keras's class has not keep their defaults."""
    kind = KINDS.get(name, BATCH)
    special = {"groups": -1} if kind is GROUP else {"momentum": 0.7}
    theirs = kind(epsilon=0.02, name="norm", scale=False, **special)
    layer_class = getattr(keras_norms.layers, name)
    layer = layer_class.from_config(theirs.get_config())
    assert (layer.epsilon, layer.name, layer.scale) == (0.02, "norm", False)
    assert getattr(layer, "momentum", 0.7) == 0.7
    layer.build((None, 3, 32))


def test_isinstance_of_base_classes():
    base = keras_norms.layers.BaseBatchNormalization
    assert issubclass(base, BATCH)
    assert not issubclass(BaseNormalization, (BATCH, GROUP))


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=IDS)
def test_no_behavior_is_inherited_from_keras_layer(descriptor):
    """Our class redefines what Keras's class defines, and never calls it."""
    layer_class = type(descriptor.create())
    kind = KINDS.get(descriptor.name, BATCH)
    if kind is None:
        return
    order = layer_class.__mro__
    public = {n for n in vars(kind) if not n.startswith("_")} | {"__init__"}
    assert {"build", "call", "get_config", "__init__"} <= public
    for name in public:
        owner = next(c for c in order if name in vars(c))
        assert owner.__module__.startswith("keras_norms")
    layer = descriptor.create()
    layer.build((None, 4, CHANNELS))
    theirs = kind() if kind is BATCH else kind(groups=1)
    attributes = set(vars(theirs)) - set(vars(keras.layers.Layer()))
    private = {n for n in attributes if n.startswith("_")}
    assert not private & set(vars(layer))


def test_fine_tuning_of_batch_norms_only():
    layers = keras_norms.layers
    model = keras.Sequential(
        [
            keras.Input((4, CHANNELS)),
            keras.layers.Dense(CHANNELS),
            layers.BatchNormalization(),
            layers.GhostBatchNormalization(2),
            layers.GroupNormalization(groups=2),
        ]
    )
    for layer in model.layers:
        layer.trainable = isinstance(layer, keras.layers.BatchNormalization)
    assert [layer.trainable for layer in model.layers] == [
        *(False, True, True, False)
    ]
    model.compile("sgd", "mse")
    before = model.layers[0].kernel.numpy()
    model.fit(np.ones((4, 4, CHANNELS)), np.ones((4, 4, CHANNELS)), verbose=0)
    np.testing.assert_array_equal(model.layers[0].kernel, before)


class Tagged(keras.layers.Layer):
    """A mixin of a user with an additional argument."""

    def __init__(self, tag=None, **kwargs):
        super().__init__(**kwargs)
        self.tag = tag

    def get_config(self):
        return {**super().get_config(), "tag": self.tag}


@pytest.mark.parametrize(
    "name", ["BatchNormalization", "GroupNormalization", "UnifiedBatch"]
)
@pytest.mark.parametrize("first", [False, True])
def test_mixins_are_initialized(name, first):
    kind = next(
        getattr(keras_norms.layers, d.name)
        for d in DESCRIPTORS
        if d.name.startswith(name)
    )
    bases = (Tagged, kind) if first else (kind, Tagged)
    mixed = type("Mixed", bases, {})(tag=3)
    assert mixed.tag == mixed.get_config()["tag"] == 3
    assert type(mixed).from_config(mixed.get_config()).tag == 3


def test_statistics_are_none_before_build():
    layer = keras_norms.layers.BatchNormalization()
    assert layer.moving_mean is layer.moving_variance is None
