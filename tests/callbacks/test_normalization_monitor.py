"""Measures of normalization layers, against their formulas in float64."""

import warnings

import keras
import numpy as np
import pytest

from keras_norms import layers
from keras_norms.callbacks import NormalizationMonitor
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conftest import REPLICAS

EXAMPLES = 8
SHAPE = (4, 3, CHANNELS)
TOLERANCE = {"rtol": 2e-5, "atol": 1e-6}


def data(seed=0, examples=EXAMPLES):
    """Positions of an example are alike, and channels differ."""
    random = np.random.default_rng(seed)
    mean = random.normal(1.0, 2.0, (examples, 1, 1, CHANNELS))
    x = random.normal(size=(examples, *SHAPE)) + mean
    return (x * np.arange(1, CHANNELS + 1)).astype("float32")


def model_of(*norms):
    return keras.Sequential([keras.Input(SHAPE), *norms])


def monitored(model, x, epochs=1, fitted=None, **arguments):
    """The records of a fit, with the state before the last measurement."""
    monitor = NormalizationMonitor(x, batch_size=len(x), **arguments)
    fitted = x if fitted is None else fitted
    if not model.compiled:
        model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(
            fitted,
            np.zeros(model.compute_output_shape(fitted.shape)),
            epochs=epochs,
            batch_size=4,
            callbacks=[monitor],
            verbose=0,
        )
    return monitor.records


def root_mean_square(values):
    return np.sqrt(np.mean(np.square(values)))


def drift(x, mean, variance, epsilon):
    axes = tuple(range(x.ndim - 1))
    rows = x.astype("float64")
    batch_mean, batch_variance = rows.mean(axes), rows.var(axes)
    variance = variance + epsilon
    return (
        root_mean_square((batch_mean - mean) / np.sqrt(variance)),
        root_mean_square(np.log((batch_variance + epsilon) / variance)),
    )


def similarity(x):
    rows = x.reshape(len(x), -1).astype("float64")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    return cosines[~np.eye(len(x), dtype=bool)].mean()


def independent_values(x, examples):
    rows = x.reshape(len(x), -1, CHANNELS).astype("float64")
    between = rows.mean(1).var(0, ddof=1)
    within = rows.var(1).mean(0)
    return examples / np.mean(between / (between + within))


@pytest.mark.parametrize("name", ["keras", "ours", "ghost", "frozen"])
def test_measures_equal_their_formulas(name):
    norm = {
        "keras": keras.layers.BatchNormalization,
        "ours": layers.BatchNormalization,
        "ghost": lambda **k: layers.GhostBatchNormalization(
            2, running_variance="within", **k
        ),
        "frozen": lambda **k: layers.BatchNormalization(trainable=False, **k),
    }[name](name="norm")
    model = model_of(norm)
    norm.moving_mean.assign(np.arange(CHANNELS))
    x = data()
    [record] = monitored(model, x)
    assert (record.epoch, record.path) == (0, "norm")
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    have = record.mean_drift, record.variance_drift
    np.testing.assert_allclose(
        have, drift(x, mean, variance, norm.epsilon), **TOLERANCE
    )
    np.testing.assert_allclose(record.similarity, similarity(x), **TOLERANCE)
    if name == "frozen":
        assert np.isnan(record.independent_values)
        assert np.isnan(record.replica_disagreement)
        return
    size = 2 if name == "ghost" else EXAMPLES
    np.testing.assert_allclose(
        record.independent_values, independent_values(x, size), **TOLERANCE
    )
    assert record.replica_disagreement == 0.0
    assert record.dead_channels == 0.0


def test_independent_values_lie_between_examples_and_positions():
    same = np.broadcast_to(data()[:, :1, :1], (EXAMPLES, *SHAPE))
    random = np.random.default_rng(0)
    noise = random.normal(size=(500, *SHAPE)).astype("float32")
    [[like], [unlike]] = (
        monitored(model_of(layers.BatchNormalization()), x)
        for x in (same, noise)
    )
    np.testing.assert_allclose(like.independent_values, EXAMPLES, rtol=1e-4)
    # A constant channel says nothing about the others.
    constant = same.copy()
    constant[..., 1:] = 0
    for x, count in ((constant, EXAMPLES), (same[:1], 1)):
        [record] = monitored(model_of(layers.BatchNormalization()), x)
        np.testing.assert_allclose(record.independent_values, count, rtol=1e-4)
    # Another normalization before it removes the means of the examples.
    norms = layers.InstanceNormalization(), layers.BatchNormalization()
    _, record = monitored(model_of(*norms), data())
    assert record.independent_values == data()[..., 0].size
    positions = noise[..., 0].size
    np.testing.assert_allclose(unlike.independent_values, positions, rtol=0.2)


def test_dead_channels_are_constant_or_never_positive():
    norm = layers.BatchNormalization(activation="relu", name="norm")
    model = model_of(norm)
    norm.trainable = True
    model.compile(keras.optimizers.SGD(0.0), "mse")
    norm.gamma.assign([1, 1, 1, 0, 1e-4, 1])
    norm.beta.assign([0, -100, 0, 1, 0.5, 0])
    [record] = monitored(model, data())
    assert record.dead_channels == 0.5


def test_every_layer_is_measured():
    norms = [d.create(name=f"norm{k}") for k, d in enumerate(DESCRIPTORS)]
    records = monitored(model_of(*norms), data())
    assert [record.path for record in records] == [n.name for n in norms]
    for record, descriptor in zip(records, DESCRIPTORS, strict=True):
        running = descriptor.running
        measured = [running, running, True, True, running, running]
        values = np.array(record[2:])
        np.testing.assert_array_equal(np.isfinite(values), measured)


def test_masked_positions_are_excluded():
    x = data()
    x[:, 2:] = 0
    norm = layers.BatchNormalization(name="norm")
    [record] = monitored(model_of(keras.layers.Masking(), norm), x)
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    want = drift(x[:, :2], mean, variance, norm.epsilon)
    have = record.mean_drift, record.variance_drift
    np.testing.assert_allclose(have, want, **TOLERANCE)


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("ours", [False, True])
def test_replicas_disagree_unless_synchronized(strategy, ours, synchronized):
    package = layers if ours else keras.layers
    with strategy.scope():
        norm = package.BatchNormalization(synchronized=synchronized)
        model = model_of(norm)
        model.compile("sgd", "mse")
    x = data(examples=4 * REPLICAS)
    [record] = monitored(model, x)
    rows = x.reshape(len(x), -1, CHANNELS).astype("float64")
    means = rows.reshape(REPLICAS, -1, CHANNELS).mean(1)
    want = root_mean_square(means.std(0) / rows.std((0, 1)))
    if synchronized:
        want = 0.0
    np.testing.assert_allclose(record.replica_disagreement, want, **TOLERANCE)
    size = len(x) if synchronized else 4
    np.testing.assert_allclose(
        record.independent_values, independent_values(x, size), **TOLERANCE
    )
