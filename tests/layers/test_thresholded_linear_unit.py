"""The threshold of each channel."""

import numpy as np
import pytest

from keras_norms import layers


@pytest.mark.parametrize("axis", [-1, 1])
def test_threshold(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    layer = layers.ThresholdedLinearUnit(axis=axis, dtype="float64")
    layer.build(x.shape)
    tau = np.linspace(-1, 1, x.shape[axis])
    layer.tau.assign(tau)
    tau = tau if axis == -1 else tau[:, None]
    np.testing.assert_array_equal(layer(x), np.maximum(x, tau))
    config = layer.get_config()
    assert layers.ThresholdedLinearUnit.from_config(config).axis == axis
