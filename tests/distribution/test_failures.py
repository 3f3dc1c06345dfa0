"""A replica that feeds NaN, and runs that are interrupted and resumed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.descriptors import RUNNING
from tests.conformance.descriptors import RUNNING_IDS
from tests.conftest import REPLICAS
from tests.distribution.models import batches
from tests.distribution.models import data
from tests.distribution.models import every_norm
from tests.distribution.models import model_with

BATCH = 4 * REPLICAS


@pytest.mark.parametrize("descriptor", RUNNING, ids=RUNNING_IDS)
def test_nan_on_one_replica_leaves_running_statistics(strategy, descriptor):
    with strategy.scope():
        layer = descriptor.create()
        layer.build((None, 4, 6))
    before = [v.numpy() for v in layer.non_trainable_variables]

    def replica_step(x):
        layer(x, training=True)

    x = strategy.experimental_distribute_values_from_function(
        lambda context: tf.fill(
            (3, 4, 6),
            float("nan") if context.replica_id_in_sync_group == 1 else 1.0,
        )
    )
    tf.function(lambda x: strategy.run(replica_step, (x,)))(x)
    for variable, old in zip(
        layer.non_trainable_variables, before, strict=True
    ):
        if not variable.name.startswith(("moving", "renorm")):
            continue  # Counters of steps advance.
        for local in strategy.experimental_local_results(variable.value):
            np.testing.assert_array_equal(local, old, variable.name)


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "name",
    [
        "BatchNormalization",
        "CrossReplicaBatchNormalization",
        "GhostBatchNormalization-ghost_batch_size=2",
        "UnifiedBatchNormalization",
    ],
)
def test_backup_resumes_to_the_same_weights(strategy, name, tmp_path):
    x, y = data(3 * BATCH)

    def model():
        keras.utils.set_random_seed(0)
        with strategy.scope():
            return model_with(every_norm()[name])

    def fit(model, *callbacks):
        model.fit(
            batches(x, y, BATCH),
            epochs=4,
            verbose=0,
            callbacks=[*callbacks],
        )
        return model.get_weights()

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    uninterrupted = fit(model())
    with pytest.raises(KeyboardInterrupt):
        fit(model(), backup(), Interruption())
    best = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    resumed = fit(model(), backup(), best)
    for have, want in zip(resumed, uninterrupted, strict=True):
        np.testing.assert_array_equal(have, want)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for have, want in zip(loaded.get_weights(), resumed, strict=True):
        np.testing.assert_array_equal(have, want)
