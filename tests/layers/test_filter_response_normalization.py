"""Filter response normalization: invariant to scale, not to shift."""

import numpy as np

from keras_norms import layers
from tests.support.samples import BATCH
from tests.support.samples import EXACT
from tests.support.samples import assert_close
from tests.support.samples import inputs


def test_invariant_to_scale_but_not_to_shift():
    x = inputs()
    layer = layers.FilterResponseNormalization(**EXACT)
    each = np.linspace(0.5, 3, BATCH).reshape(-1, 1, 1, 1)
    assert_close(layer(each * x), layer(x))
    assert_close((np.array(layer(x)) ** 2).mean((1, 2)), 1)
    assert np.abs(layer(x + 1) - layer(x)).max() > 0.1
