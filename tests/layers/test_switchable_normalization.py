"""Switchable normalization contains its three methods."""

import numpy as np
import pytest

from keras_norms import layers
from tests.support.samples import EXACT
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import training_output

INSTANCE = (layers.InstanceNormalization, {})
LAYER = (layers.GroupNormalization, {"groups": 1})
BATCH = (layers.BatchNormalization, {})


@pytest.mark.parametrize(
    ("rank", "index", "method"),
    [
        *((4, *pair) for pair in enumerate([INSTANCE, LAYER, BATCH])),
        # There are no instance statistics.
        *((2, *pair) for pair in enumerate([LAYER, BATCH])),
    ],
)
def test_one_hot_logits_select_one_method(rank, index, method):
    x = inputs() if rank == 4 else inputs()[:, 0, 0]
    layer = layers.SwitchableNormalization(**EXACT)
    layer.build(x.shape)
    logits = np.full(layer.mean_logits.shape, -800.0)
    assert len(logits) == (3 if rank == 4 else 2)
    logits[index] = 0.0
    layer.mean_logits.assign(logits)
    layer.variance_logits.assign(logits)
    other, more = method
    assert_close(
        training_output(layer, x), other(**EXACT, **more)(x, training=True)
    )


@pytest.mark.parametrize("rank", [2, 3])
def test_logits_of_version_0_1_load(rank):
    """It had three logits for inputs of rank 2, of which two are read."""
    layer = layers.SwitchableNormalization()
    layer.build((None, *(4,) * (rank - 2), 5))
    store = {
        str(index): np.arange(3.0) if "logits" in v.name else v.numpy()
        for index, v in enumerate(layer._trainable_variables)
    }
    first = len(store)
    for index, v in enumerate(layer._non_trainable_variables):
        store[str(first + index)] = v.numpy()
    layer.load_own_variables(store)
    want = np.arange(3.0)[-len(layer.mean_logits.numpy()) :]
    np.testing.assert_array_equal(layer.mean_logits, want)
    np.testing.assert_array_equal(layer.variance_logits, want)
