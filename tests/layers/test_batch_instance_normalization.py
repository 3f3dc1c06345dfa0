"""Batch-instance normalization: both ends, and the range of rho."""

import keras
import numpy as np
import pytest

from keras_norms import layers
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import training_output


def test_rho_selects_batch_or_instance_norm():
    layer = layers.BatchInstanceNormalization(**EXACT)
    x = inputs()
    assert_close(
        training_output(layer, x),
        training_output(layers.BatchNormalization(**EXACT), x),
    )
    layer.rho.assign(np.zeros(CHANNELS))
    assert_close(
        training_output(layer, x), layers.InstanceNormalization(**EXACT)(x)
    )


@pytest.mark.parametrize("start", [0.1, 0.9])
def test_rho_stays_between_0_and_1(start):
    layer = layers.BatchInstanceNormalization()
    model = keras.Sequential([keras.Input((5, 4, CHANNELS)), layer])
    layer.rho.assign(np.full(CHANNELS, start))
    model.compile(keras.optimizers.SGD(10.0), "mse")
    model.fit(inputs(), inputs(1), epochs=3, verbose=0)
    rho = layer.rho.numpy()
    assert ((rho >= 0) & (rho <= 1)).all()
    assert ((rho == 0) | (rho == 1)).any()
