"""Replicas of synchronized layers train like one device, step after step."""

import keras
import numpy as np
import pytest

from tests.conftest import REPLICAS
from tests.distribution.models import batches
from tests.distribution.models import data
from tests.distribution.models import every_norm
from tests.distribution.models import model_with
from tests.distribution.models import synchronized_norms

BATCH = 4 * REPLICAS
STEPS = 50


class SameStatistics(keras.callbacks.Callback):
    """Asserts that all replicas and the saved file have equal weights."""

    def __init__(self, strategy, folder):
        super().__init__()
        self.strategy, self.path = strategy, folder / "model.keras"
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        self.model.save(self.path)
        loaded = keras.saving.load_model(self.path)
        for ours, saved in zip(
            self.model.weights, loaded.weights, strict=True
        ):
            for local in self.strategy.experimental_local_results(ours.value):
                np.testing.assert_array_equal(local, saved, ours.path)


@pytest.mark.parametrize("name", synchronized_norms())
def test_weights_equal_one_device_after_50_steps(strategy, name):
    create = synchronized_norms()[name]
    x, y = data(BATCH * STEPS)
    keras.utils.set_random_seed(0)
    alone = model_with(lambda x: create()(x))
    keras.utils.set_random_seed(0)
    with strategy.scope():
        replicated = model_with(lambda x: create()(x))
    for model in (alone, replicated):
        model.fit(batches(x, y, BATCH), verbose=0)
    for want, have in zip(alone.weights, replicated.weights, strict=True):
        scale = max(1.0, np.abs(want.numpy()).max())
        np.testing.assert_allclose(
            have, want, rtol=0, atol=1e-6 * scale, err_msg=want.path
        )


@pytest.mark.parametrize("name", every_norm())
def test_replicas_and_files_have_the_same_weights(strategy, name, tmp_path):
    with strategy.scope():
        model = model_with(every_norm()[name])
    same = SameStatistics(strategy, tmp_path)
    x, y = data(3 * BATCH)
    model.fit(batches(x, y, BATCH), epochs=2, verbose=0, callbacks=[same])
    assert same.epochs == 2
