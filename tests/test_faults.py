"""Faults measured in Keras's layers, each absent here, by their numbers."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms.benchmark
from benchmarks import layers as benchmark
from keras_norms import layers
from tests.conftest import REPLICAS
from tests.references import oracles

RNG = np.random.default_rng(0)


def fit(strategy, layer, examples, batch, **options):
    """A model trained under a strategy on noise; its weights and losses."""
    x = RNG.normal(2, 3, (examples, 4, 6)).astype("float32")
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((4, 6)), layer(), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse", **options)
    data = tf.data.Dataset.from_tensor_slices((x, np.zeros((examples, 4, 1))))
    history = model.fit(data.batch(batch), epochs=2, verbose=0)
    return model, x, history.history["loss"]


def test_b1_moving_averages_are_those_of_all_replicas(strategy, tmp_path):
    model, x, _ = fit(strategy, layers.BatchNormalization, 32, 8)
    values = strategy.experimental_local_results(
        model.layers[0].moving_mean.value
    )
    for value in values:
        np.testing.assert_array_equal(value, values[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6
    )


@pytest.mark.parametrize(
    "name", ["BatchNormalization", "GhostBatchNormalization"]
)
def test_b2_an_empty_replica_gives_no_nan(strategy, name):
    model, _, losses = fit(strategy, getattr(layers, name), 17, 16)
    assert np.isfinite(losses).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_b3_masks_synchronize(strategy):
    def step(x, mask):
        return layer(x, training=True, mask=mask)

    with strategy.scope():
        layer = layers.BatchNormalization(synchronized=True, momentum=0.0)
        layer.build((None, 3, 6))
    x = [RNG.normal(i, 1, (2, 3, 6)) for i in range(REPLICAS)]
    mask = [RNG.random((2, 3)) < 0.5 for _ in range(REPLICAS)]
    spread = strategy.experimental_distribute_values_from_function
    inputs = [
        spread(lambda c, v=v: tf.constant(v[c.replica_id_in_sync_group]))
        for v in (x, mask)
    ]
    tf.function(lambda *a: strategy.run(step, a))(*inputs)
    mean, _ = oracles.moments(np.concatenate(x), -1, np.concatenate(mask))
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-6)


def far_from_zero(layer, jit, mean, **arguments):
    x = RNG.normal(mean, 1, (8, 16, 16, 6)).astype("float32")
    y = tf.function(lambda x: layer(x, **arguments), jit_compile=jit)(x)
    ones = np.ones(6)
    groups = getattr(layer, "groups", 6)
    examples = 1 if "Group" in type(layer).__name__ else None
    wanted = oracles.normalize(x, x, ones, 0 * ones, -1, examples, groups)
    return np.abs(y - wanted.y).max()


def test_b5_one_collective_forward_and_one_backward(strategy):
    with strategy.scope():
        layer = layers.BatchNormalization(synchronized=True)
        layer.build((None, 5, 6))

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x)

    def collectives(step):
        run = tf.function(lambda x: strategy.run(step, [x]))
        graph = run.get_concrete_function(tf.ones((4, 5, 6))).graph
        kinds = [operation.type for operation in graph.get_operations()]
        return kinds.count("CollectiveReduceV2") / REPLICAS

    assert collectives(lambda x: layer(x, training=True)) == 1
    assert collectives(step) == 2


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_b4_variance_does_not_cancel(jit, mean):
    layer = layers.BatchNormalization(synchronized=True)
    assert far_from_zero(layer, jit, mean, training=True) < 1e-5


def test_b4_squares_of_large_inputs_do_not_overflow():
    x = (1 + RNG.random((64, 6))).astype("float32") * 1e15 + 1e19
    y = layers.BatchNormalization()(x.astype("float32"), training=True)
    ones = np.ones(6)
    wanted = oracles.normalize(x, x, ones, 0 * ones, -1, None, 6)
    np.testing.assert_allclose(y, wanted.y, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 4, 3)])
def test_b6_masks_of_channels_first(shape):
    x = RNG.normal(size=shape)
    mask = RNG.random((shape[0], *shape[2:])) < 0.5
    layer = layers.BatchNormalization(axis=1, momentum=0.0, dtype="float64")
    layer(x, training=True, mask=mask)
    mean, _ = oracles.moments(x, 1, mask)
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-12)


def test_b6_a_batch_and_time_mask_of_images():
    x, mask = RNG.normal(size=(5, 4, 3, 6)), RNG.random((5, 4)) < 0.5
    layer = layers.BatchNormalization(momentum=0.0, dtype="float64")
    layer(x, training=True, mask=mask)
    mean, _ = oracles.moments(x, -1, mask)
    np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-12)


def test_b7_all_masked_gives_zeros_and_moves_nothing():
    layer = layers.BatchNormalization(momentum=0.5, beta_initializer="ones")
    y = layer(RNG.normal(size=(4, 6)), training=True, mask=np.zeros(4, bool))
    np.testing.assert_array_equal(y, np.zeros((4, 6)))
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(6))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(6))


def test_b7_one_valid_row_is_its_own_mean():
    layer = layers.BatchNormalization()
    x = np.full((4, 6), 1e4, "float32")
    y = layer(x, training=True, mask=np.array([True, False, False, False]))
    np.testing.assert_array_equal(y[0], np.zeros(6))


@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize(
    "name", ["BatchNormalization", "InstanceNormalization"]
)
def test_b8_padding_may_hold_anything(name, padding):
    x = RNG.normal(size=(4, 5, 6)).astype("float32")
    mask = np.arange(5) < np.array([[5], [3], [1], [0]])
    padded = np.where(mask[..., None], x, padding).astype("float32")
    layer = getattr(layers, name)(activation="silu")
    results = []
    for inputs in (x, padded):
        with tf.GradientTape() as tape:
            inputs = tf.constant(inputs)
            tape.watch(inputs)
            training = {"training": True} if name[0] == "B" else {}
            y = layer(inputs, mask=mask, **training)
            loss = tf.reduce_sum(tf.where(mask[..., None], y, 0.0) ** 2)
        results.append(tape.gradient(loss, [inputs, layer.gamma.value]))
    for clean, dirty in zip(*results, strict=True):
        np.testing.assert_allclose(clean, dirty, atol=1e-5)


def test_b9_float32_beyond_float16_in_mixed_precision():
    layer = layers.BatchNormalization(dtype="mixed_float16")
    y = layer(np.full((4, 6), 1e5, "float32"), training=True)
    np.testing.assert_array_equal(y, np.zeros((4, 6)))
    assert np.isfinite(layer.moving_mean).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_b10_moving_averages_do_not_stick(dtype):
    layer = layers.BatchNormalization(dtype=dtype)
    layer.build((None, 6))
    step = tf.function(lambda x: layer(x, training=True))
    for _ in range(1500):
        step(tf.cast(tf.random.normal((64, 6), 3.0), dtype))
    np.testing.assert_allclose(layer.moving_mean, np.full(6, 3.0), atol=0.1)
    np.testing.assert_allclose(layer.moving_variance, np.ones(6), atol=0.1)


def test_b11_speed_is_measured_against_keras(monkeypatch):
    """Times are no test; that the benchmark measures batch norm is one."""
    monkeypatch.setattr(keras_norms.benchmark, "LAYERS", 1)
    case = ("BatchNormalization", (2, 4, 4, 32), "float32")
    for backward in (False, True):
        rows = list(benchmark.measure(*case, backward, 2))
        ways = itertools.product(["keras", "composed"], ["graph", "jit"])
        wanted = {"copy", "tensorflow fused", *map(" ".join, ways)}
        assert wanted <= {row["candidate"] for row in rows}
        assert all(row["copies"] > 0 for row in rows)


def test_b12_a_list_of_one_axis_and_names_of_old():
    assert layers.BatchNormalization(axis=[3]).get_config()["axis"] == 3
    layers.BatchNormalization(fused=True, virtual_batch_size=None)
    with pytest.raises(ValueError, match="Received: virtual_batch_size=8"):
        layers.BatchNormalization(virtual_batch_size=8)


def test_b12_renorm_averages_are_those_of_all_replicas(strategy):
    model, _, _ = fit(
        strategy, lambda: layers.BatchNormalization(renorm=True), 32, 8
    )
    for table in model.layers[0].non_trainable_variables:
        values = strategy.experimental_local_results(table.value)
        for value in values:
            np.testing.assert_array_equal(value, values[0])


def test_b13_training_may_be_a_tensor():
    layer = layers.BatchNormalization(momentum=0.5)
    x = RNG.normal(3, 2, (8, 6)).astype("float32")
    layer.build(x.shape)
    step = tf.function(lambda x, training: layer(x, training=training))
    before = layer(x, training=False)
    np.testing.assert_allclose(step(x, tf.constant(False)), before, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(6))
    trained = step(x, tf.constant(True))
    np.testing.assert_allclose(trained, layer(x, training=True), atol=1e-6)
    assert (layer.moving_mean != 0).numpy().all()


def test_b13_empty_and_nan_batches_leave_the_averages_alone():
    layer = layers.BatchNormalization(momentum=0.5)
    layer(np.zeros((0, 6), "float32"), training=True)
    x = RNG.normal(3, 2, (8, 6)).astype("float32")
    x[2, 1] = np.nan
    layer(x, training=True)
    moved = layer.moving_mean != 0
    np.testing.assert_array_equal(moved, np.arange(6) != 1)
    assert np.isfinite(layer.moving_variance).all()


def test_g1_instance_norm_stays_so_in_the_config():
    layer = layers.GroupNormalization(groups=-1)
    layer.build((None, 4, 8))
    again = layers.GroupNormalization.from_config(layer.get_config())
    x = RNG.normal(size=(2, 4, 16))
    np.testing.assert_allclose(
        again(x), layers.InstanceNormalization()(x), atol=1e-6
    )


def test_g2_padding_does_not_move_valid_outputs():
    x = RNG.normal(size=(3, 5, 6)).astype("float32")
    padded = np.concatenate([x, np.zeros((3, 4, 6), "float32")], axis=1)
    mask = np.broadcast_to(np.arange(9) < 5, (3, 9))
    layer = layers.GroupNormalization(groups=2)
    np.testing.assert_allclose(
        layer(padded, mask=mask)[:, :5], layer(x), atol=1e-6
    )


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_g3_mean_far_above_std(jit, mean):
    assert far_from_zero(layers.GroupNormalization(3), jit, mean) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GroupNormalization", "BatchNormalization"])
@pytest.mark.parametrize("kind", ["ours", "ours-fused"])
def test_g5_mixed_precision_holds_16_bits_only(name, kind):
    from benchmarks import memory

    # What the allocator wastes comes and goes: by a tenth of a tensor.
    held = (
        memory.tensors_per_layer(name, kind, "mixed_bfloat16")
        for _ in range(3)
    )
    assert any(tensors <= 1.5 for tensors in held)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64", "bool"])
@pytest.mark.parametrize("name", ["GroupNormalization", "BatchNormalization"])
def test_g6_integers_are_not_truncated(name, dtype):
    x = RNG.integers(0, 2, (4, 3, 6)).astype(dtype)
    arguments = {"groups": 3} if name[0] == "G" else {}
    layer = getattr(layers, name)(**arguments)
    training = {} if arguments else {"training": True}
    y = layer(x, **training)
    assert y.dtype == "float32"
    assert keras.Sequential([keras.Input((3, 6), dtype=dtype), layer])
    np.testing.assert_allclose(
        y, layer(x.astype("float32"), **training), atol=1e-6
    )


def test_g9_axes_and_groups_are_checked():
    for axis in ([1, 2], 0, True):
        with pytest.raises(ValueError, match="`axis` must"):
            layers.GroupNormalization(axis=axis)
    with pytest.raises(ValueError, match="out of bounds"):
        layers.GroupNormalization(axis=5).build((None, 4, 6))
    with pytest.raises(ValueError, match="rank 2 or more"):
        layers.GroupNormalization().build((6,))
    with pytest.raises(ValueError, match="argument `groups`"):
        layers.GroupNormalization(groups=True)
    assert layers.GroupNormalization(groups=np.int64(4)).groups == 4
