"""Switchable normalization contains its three methods."""

import numpy as np
import pytest

from keras_norms import layers
from tests.support.samples import EXACT
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import training_output


@pytest.mark.parametrize(
    ("index", "other", "more"),
    [
        (0, layers.InstanceNormalization, {}),
        (1, layers.GroupNormalization, {"groups": 1}),
        (2, layers.BatchNormalization, {}),
    ],
)
def test_one_hot_logits_select_one_method(index, other, more):
    x = inputs()
    layer = layers.SwitchableNormalization(**EXACT)
    layer.build(x.shape)
    logits = np.full(3, -800.0)
    logits[index] = 0.0
    layer.mean_logits.assign(logits)
    layer.variance_logits.assign(logits)
    assert_close(
        training_output(layer, x), other(**EXACT, **more)(x, training=True)
    )
