"""Uses what `backend_program.py` does not, and prints what failed.

`test_backends.py` runs it in another process, without TensorFlow.
"""

import traceback

import keras
import numpy as np
from keras import ops

from keras_norms import callbacks
from keras_norms import layers
from keras_norms import models
from keras_norms import regularizers

X = np.random.default_rng(0).normal(2, 3, (16, 8, 8, 6)).astype("float32")
Y = X[:, 0, 0, :2]


@keras.saving.register_keras_serializable(package="tests")
def at_least_a_tenth(x):
    return ops.maximum(x, 0.1)


def fitted(norm):
    """A model with a norm, a function of a tensor, after one epoch."""
    inputs = keras.Input(X.shape[1:])
    x = keras.layers.Conv2D(6, 3, use_bias=False)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(norm(x))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    assert np.isfinite(model.predict(X, verbose=0)).all()
    return model


def converted(name="keras_norms"):
    model = fitted(lambda x: keras.layers.BatchNormalization()(x))
    return models.convert_normalization(model, name)


def conditional():
    norm = layers.ConditionalNormalization(layers.GroupNormalization(2))
    return fitted(lambda x: norm(x, ops.mean(x, axis=(1, 2))))


def of_domains():
    norm = layers.DomainSpecificBatchNormalization(2)
    return fitted(lambda x: norm(x, ops.cast(x[:, 0, 0, 0] > 0, "int32")))


def standardized_weights():
    convolution = keras.layers.Conv2D(6, 3)
    return fitted(layers.WeightStandardization(convolution))


def tuned():
    model = converted()
    model.compile("sgd", "mse")
    batches = [(X[:8], Y[:8]), (X[8:], Y[8:])]
    return models.tune_inference_weight(model, batches, "mse")


def monitored():
    model = converted()
    model.compile("sgd", "mse")
    monitor = callbacks.NormalizationMonitor(X[:8])
    model.fit(X, Y, verbose=0, callbacks=[monitor])


FEATURES = {
    "LayerNormalization": lambda: fitted(
        layers.LayerNormalization(axis=(1, 2, 3))
    ),
    "ConditionalNormalization": conditional,
    "DomainSpecificBatchNormalization": of_domains,
    "WeightStandardization": standardized_weights,
    "EnhancedAffine": lambda: fitted(layers.EnhancedAffine()),
    "ThresholdedLinearUnit": lambda: fitted(layers.ThresholdedLinearUnit()),
    "channels first": lambda: fitted(layers.BatchNormalization(axis=1)),
    "an activation of the user": lambda: fitted(
        layers.BatchNormalization(activation=at_least_a_tenth)
    ),
    "mixed precision": lambda: fitted(
        layers.GroupNormalization(2, dtype="mixed_bfloat16")
    ),
    "a regularizer": lambda: fitted(
        layers.BatchNormalization(
            gamma_regularizer=regularizers.PullToOne(0.1)
        )
    ),
    "convert_normalization": lambda: converted("GroupNormalization"),
    "freeze_normalization": lambda: models.freeze_normalization(converted()),
    "recalibrate_statistics": lambda: models.recalibrate_statistics(
        converted(), X
    ),
    "fold_batch_normalization": lambda: models.fold_batch_normalization(
        converted()
    ),
    "describe_normalization": lambda: models.describe_normalization(
        converted()
    ),
    "tune_inference_weight": tuned,
    "set_inference_weight": lambda: models.set_inference_weight(
        converted(), 0.5
    ),
    "exclude_from_weight_decay": lambda: models.exclude_from_weight_decay(
        keras.optimizers.AdamW(), converted()
    ),
    "NormalizationMonitor": monitored,
}


def main():
    for name, use in FEATURES.items():
        try:
            use()
        except Exception:
            print("FAILED", name)
            traceback.print_exc()


if __name__ == "__main__":
    main()
