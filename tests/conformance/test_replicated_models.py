"""A model that replicas have trained is saved, loaded and trained again."""

import keras
import numpy as np
import pytest

import keras_norms
from tests.conformance.descriptors import CHANNELS
from tests.conftest import REPLICAS


@pytest.mark.parametrize(
    "name",
    [
        "BatchNormalization",
        "CrossReplicaBatchNormalization",
        "GhostBatchNormalization",
        "BatchGroupNormalization",
        "GroupNormalization",
        "UnifiedBatchNormalization",
        "DynamicNormalization",
    ],
)
def test_reloaded_model_has_equal_predictions(strategy, name, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, size=(16 * REPLICAS, 4, CHANNELS)).astype("float32")
    arguments = {"groups": 2} if "Group" in name else {}
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((4, CHANNELS)),
                getattr(keras_norms.layers, name)(**arguments),
                keras.layers.Dense(2),
            ]
        )
        model.compile("sgd", "mse")
    y = np.zeros((len(x), 4, 2))
    model.fit(x, y, batch_size=4 * REPLICAS, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    predicted = model.predict(x, verbose=0)
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        reloaded.predict(x, verbose=0), predicted, atol=1e-6
    )
    with strategy.scope():
        resumed = keras.models.load_model(tmp_path / "model.keras")
    resumed.fit(x, y, batch_size=4 * REPLICAS, verbose=0)
