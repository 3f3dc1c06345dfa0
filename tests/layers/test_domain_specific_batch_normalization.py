"""Domain-specific batch norm against one batch norm per domain."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import models
from tests.conftest import REPLICAS
from tests.references import oracles
from tests.support.refusals import refusal

DOMAINS, CHANNELS = 4, 5
# No example of domain 2 in the first batch, and one of domain 3.
BATCHES = [np.array([0, 1, 0, 3, 1, 0, 0]), np.array([2, 2, 1, 0])]
SETTINGS = {
    "default": {},
    "total": {"running_variance": "total"},
    "weighed": {"inference_weight": 0.3},
    "no affine": {"center": False, "scale": False},
    "activation": {"activation": "gelu"},
}


def images(domain, axis=-1, seed=0, mean=0.0):
    """Images, the brightness of which depends on their domain."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(len(domain), 3, 4, CHANNELS))
    x = x * (1 + domain[:, None, None, None]) + mean
    return np.moveaxis(x + 2 * domain[:, None, None, None], -1, axis)


def randomized(layer, shape):
    layer.build(shape, (None,))
    random = np.random.default_rng(3)
    for weight in layer.trainable_variables:
        weight.assign(random.uniform(0.2, 1.5, weight.shape))
    return layer


def single_layers(layer, arguments):
    """A batch normalization for each domain, with its weights."""
    shape = layer.get_build_config()["shapes_dict"]["inputs_shape"]
    singles = []
    for domain in range(DOMAINS):
        single = layers.BatchNormalization(**arguments)
        single.build(shape)
        for weight in single.weights:
            weight.assign(getattr(layer, weight.name)[domain])
        singles.append(single)
    return singles


@pytest.mark.parametrize(("axis", "masked"), [(-1, False), (1, True)])
@pytest.mark.parametrize("name", SETTINGS)
def test_equals_one_batch_norm_per_domain(name, axis, masked):
    arguments = {
        "dtype": "float64",
        "axis": axis,
        "momentum": 0.8,
        "running_variance": "within",
        **SETTINGS[name],
    }
    layer = layers.DomainSpecificBatchNormalization(DOMAINS, **arguments)
    shape = (None, *images(BATCHES[0], axis).shape[1:])
    randomized(layer, shape)
    singles = single_layers(layer, arguments)
    for step, domain in enumerate(BATCHES):
        x = images(domain, axis, step)
        random = np.random.default_rng(step)
        dy = random.normal(size=x.shape)
        mask = random.random((len(x), 3)) < 0.7 if masked else None
        for training in (True, False):
            have = run(layer, x, dy, training, domain, inputs_mask=mask)
            want = np.zeros((2, *x.shape))
            for d in set(domain):
                own = domain == d
                m = None if mask is None else mask[own]
                want[:, own] = run(
                    singles[d], x[own], dy[own], training, mask=m
                )
            np.testing.assert_allclose(have, want, atol=1e-12)
        for d, single in enumerate(singles):
            for weight in single.weights:
                np.testing.assert_allclose(
                    getattr(layer, weight.name)[d], weight, atol=1e-12
                )


def run(layer, x, dy, training, *inputs, **masks):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, *inputs, training=training, **masks)
    return np.array([y, tape.gradient(y, x, tf.constant(dy))])


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_float32_against_the_oracle(mean, jit):
    domain = BATCHES[0]
    x = images(domain, mean=mean).astype("float32")
    dy = images(domain, seed=1).astype("float32")
    layer = layers.DomainSpecificBatchNormalization(DOMAINS)
    randomized(layer, x.shape)
    gamma = layer.gamma.value

    @tf.function(jit_compile=jit)
    def step(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, domain, training=True)
        return y, *tape.gradient(y, [x, gamma, layer.beta.value], dy)

    y, dx, d_gamma, d_beta = map(np.array, step(x, dy))
    for d in range(DOMAINS):
        own = domain == d
        if not own.any():
            assert not d_gamma[d].any()
            assert not d_beta[d].any()
            continue
        affine = layer.gamma.numpy()[d], layer.beta.numpy()[d]
        want = oracles.normalize(x[own], dy[own], *affine, -1, None, CHANNELS)
        np.testing.assert_allclose(y[own], want.y, atol=1e-5)
        np.testing.assert_allclose(dx[own], want.dx, atol=1e-5)
        np.testing.assert_allclose(d_gamma[d], want.dgamma, atol=2e-4)
        np.testing.assert_allclose(d_beta[d], want.dbeta, atol=2e-4)


@pytest.mark.parametrize("synchronized", [False, True])
def test_replicas(strategy, synchronized):
    """Statistics of the joined batch, or averages weighted by counts."""
    size = 5
    domain = np.random.default_rng(0).integers(0, 3, REPLICAS * size)
    x = images(domain).astype("float32")
    with strategy.scope():
        layer = layers.DomainSpecificBatchNormalization(
            DOMAINS, momentum=0.0, synchronized=synchronized
        )
        randomized(layer, (None, *x.shape[1:]))

    def shard(values):
        def of(context):
            start = context.replica_id_in_sync_group * size
            return tf.constant(values[start : start + size])

        return strategy.experimental_distribute_values_from_function(of)

    @tf.function
    def step(x, domain):
        return strategy.run(
            lambda x, d: layer(x, d, training=True), args=(x, domain)
        )

    results = step(shard(x), shard(domain))
    y = np.concatenate(strategy.experimental_local_results(results))
    affine = layer.gamma.numpy(), layer.beta.numpy()
    for d in range(3):
        own = domain == d
        total, count = 0, 0
        for start in range(0, len(x), size):
            local = own.copy()
            if not synchronized:
                local[:start] = local[start + size :] = False
            if not local.any():
                continue
            want = oracles.normalize(
                x[local], x[local], *(a[d] for a in affine), -1, None, CHANNELS
            )
            np.testing.assert_allclose(y[local], want.y, atol=1e-5)
            total += local.sum() * np.array(oracles.moments(x[local], -1))
            count += local.sum()
        mean, variance = total / count
        np.testing.assert_allclose(layer.moving_mean[d], mean, rtol=1e-5)
        np.testing.assert_allclose(
            layer.moving_variance[d], variance, rtol=1e-5
        )
    assert not layer.moving_mean[3].numpy().any()


def test_infinite_examples_spoil_their_domain_only():
    domain = BATCHES[0]
    x = images(domain).astype("float32")
    layer = layers.DomainSpecificBatchNormalization(DOMAINS)
    want = layer(x, domain, training=True).numpy()
    state = layer.moving_mean.numpy()
    x[0] = np.inf
    layer = layers.DomainSpecificBatchNormalization(DOMAINS)
    have = layer(x, domain, training=True).numpy()
    others = domain != domain[0]
    np.testing.assert_array_equal(have[others], want[others])
    state[domain[0]] = 0
    np.testing.assert_array_equal(layer.moving_mean, state)


@pytest.mark.parametrize("training", [False, True])
def test_other_domains_in_graphs_give_nan(training):
    layer = layers.DomainSpecificBatchNormalization(DOMAINS)
    run = tf.function(lambda x, d: layer(x, d, training=training))
    x = images(np.zeros(3, int)).astype("float32")
    y = run(x, tf.constant([0, DOMAINS, 0])).numpy()
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()
    assert np.isfinite(layer.moving_mean).all()


@pytest.mark.parametrize("value", [2, np.int64(2), [[2]], np.full(4, 2)])
def test_domains_may_be_one_integer_or_a_column(value):
    x = images(np.full(4, 2)).astype("float32")
    layer = layers.DomainSpecificBatchNormalization(DOMAINS)
    y = layer(x, domain=value, training=True)
    want = layers.BatchNormalization()(x, training=True)
    np.testing.assert_allclose(y, want, atol=1e-6)


@pytest.mark.parametrize("replicas", [False, True])
def test_model_trains_and_is_saved(tmp_path, strategy, replicas):
    x_in = keras.Input((3, 4, CHANNELS))
    d_in = keras.Input((), dtype="int32", name="domain")
    strategy = strategy if replicas else tf.distribute.get_strategy()
    with strategy.scope():
        norm = layers.DomainSpecificBatchNormalization(DOMAINS, name="norm")
        model = keras.Model([x_in, d_in], norm(x_in, d_in))
        model.compile("sgd", "mse")
    domain = np.tile(BATCHES[0], 2)
    inputs = [images(domain).astype("float32"), domain]
    model.fit(inputs, inputs[0], verbose=0)
    models.recalibrate_statistics(model, [(inputs,)], verbose=0)
    for d in (0, 1, 3):
        mean, variance = oracles.moments(inputs[0][domain == d], -1)
        np.testing.assert_allclose(norm.moving_mean[d], mean, rtol=1e-5)
        np.testing.assert_allclose(
            norm.moving_variance[d], variance, rtol=1e-5
        )
    want = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), want)
    model.export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(tmp_path / "export")
    served = exported.serve([inputs[0], domain.astype("int32")])
    np.testing.assert_allclose(served, want, atol=1e-5)
    [row] = models.describe_normalization(model, len)
    assert row.statistics == "the batch, 4 domains"
    message = refusal(models.convert_normalization, model, "keras")
    assert "no such layer" in message
