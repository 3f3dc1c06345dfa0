"""Unified batch normalization against the formulas of its authors' code."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.conftest import REPLICAS
from tests.layers.steps import FLOAT64
from tests.layers.steps import batch_norm_like
from tests.layers.steps import randomized
from tests.layers.steps import step
from tests.references import unified
from tests.support.samples import CHANNELS
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import training_output

STEPS = 40
BOUND = 0.4
BARE = {
    "calibrate_center": False,
    "calibrate_scale": False,
    "affine": "channel",
}


def batches(shape, shards=1):
    """Batches whose examples are alike, then not, then alike again."""
    random = np.random.default_rng(0)
    for number in range(STEPS):
        likeness = 0.0 if 5 <= number < 20 else 3.0
        x = random.normal(size=shape) + likeness * random.normal(
            size=(1, *shape[1:])
        )
        dy = random.normal(size=shape)
        # Replicas receive unequal parts, and 16 examples end in the second.
        at = [13, 17, 18][: shards - 1]
        yield np.split(x, at), np.split(dy, at)


def create(shape, **more):
    layer = layers.UnifiedBatchNormalization(
        bound=BOUND, kernel_initializer="uniform", **{**FLOAT64, **more}
    )
    layer.build((None, *shape[1:]))
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        value = random.uniform(-0.8, 0.8, variable.shape)
        variable.assign(variable + value)
    return layer


def weights(layer):
    return {v.name: v.numpy() for v in layer.trainable_variables}


def training_step(layer, x, dy):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    sources = [x, *(v.value for v in layer.trainable_variables)]
    return y, *tape.gradient(y, sources, dy)


def compare(layer, oracle, results, expected):
    """y and dx per replica, summed gradients, and the state."""
    y, dx, *gradients = results
    want_y, want_dx, want_gradients = expected
    for have, want in zip([*y, *dx], [*want_y, *want_dx], strict=True):
        assert_close(have, want)
    names = [v.name for v in layer.trainable_variables]
    for name, have in zip(names, gradients, strict=True):
        want = want_gradients[name]
        scale = max(1.0, np.abs(want).max())
        assert_close(sum(map(np.asarray, have)) / scale, want / scale)
    assert_close(layer.moving_mean, oracle.mean)
    assert_close(layer.moving_variance, oracle.variance)
    assert_close(layer.similarity, oracle.similarity)


@pytest.mark.parametrize(
    ("mode", "rank"),
    [
        ("eager", 4),
        *(("graph", rank) for rank in (2, 3, 4, 5)),
        ("jit", 2),
        ("jit", 4),
    ],
)
def test_steps_equal_the_published_code(mode, rank, tmp_path):
    """The gate opens and closes, with a save and a reload in the middle."""
    shape = (20, *(4, 3, 2)[: rank - 2], 5)
    layer = create(shape)
    oracle = unified.Unified(weights(layer), BOUND)
    gates = []

    def compiled():
        if mode == "eager":
            return training_step
        return tf.function(training_step, jit_compile=mode == "jit")

    run = compiled()
    for number, ((x,), (dy,)) in enumerate(batches(shape)):
        if number == STEPS // 2:
            model = keras.Sequential([keras.Input(shape[1:]), layer])
            model.save(tmp_path / "model.keras")
            loaded = keras.models.load_model(tmp_path / "model.keras")
            layer, run = loaded.layers[-1], compiled()
        expected = oracle.step([x], [dy])
        y, dx, *gradients = run(layer, tf.constant(x), tf.constant(dy))
        results = [y], [dx], *([g] for g in gradients)
        compare(layer, oracle, results, expected)
        gates.append(oracle.similarity > BOUND)
    assert_close(layer(x), oracle.infer(x))
    changes = np.diff(np.array(gates, int))
    assert gates[0]
    assert (changes == -1).any()
    assert (changes == 1).any()


@pytest.mark.parametrize("synchronized", [False, True])
def test_replicas_equal_the_published_code(strategy, synchronized, tmp_path):
    """Synchronized replicas compare the joined batch's first examples."""
    shape = (21, 4, 3, 5)
    with strategy.scope():
        layer = create(shape, synchronized=synchronized)
    oracle = unified.Unified(weights(layer), BOUND)

    def compiled():
        return tf.function(
            lambda x, dy: strategy.run(
                lambda x, dy: training_step(layer, x, dy), (x, dy)
            )
        )

    def spread(values):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                values[context.replica_id_in_sync_group]
            )
        )

    run = compiled()
    for number, (x, dy) in enumerate(batches(shape, REPLICAS)):
        if number == STEPS // 2:
            with strategy.scope():
                model = keras.Sequential([keras.Input(shape[1:]), layer])
                model.save(tmp_path / "model.keras")
                loaded = keras.models.load_model(tmp_path / "model.keras")
            layer, run = loaded.layers[-1], compiled()
        expected = oracle.step(x, dy, synchronized)
        results = [
            strategy.experimental_local_results(each)
            for each in run(spread(x), spread(dy))
        ]
        compare(layer, oracle, results, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_of_minus_1_is_bit_equal_to_batch_norm(dtype):
    layer = layers.UnifiedBatchNormalization(bound=-1, dtype=dtype, **BARE)
    plain = batch_norm_like(layer)
    for x in (inputs(), -inputs(), inputs()[:1]):
        x = x.astype(dtype)
        dy = inputs(1)[: len(x)].astype(dtype)
        steps = (step(each, x, dy) for each in (layer, plain))
        for have, want in zip(*steps, strict=True):
            np.testing.assert_array_equal(have, want)
        np.testing.assert_array_equal(layer(x), plain(x))


def test_bound_of_1_trains_as_inference_and_keeps_the_statistics():
    layer = randomized(layers.UnifiedBatchNormalization(bound=1, **FLOAT64))
    for seed in range(3):
        x = inputs(seed)
        assert_close(training_output(layer, x), layer(x))
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(CHANNELS))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(CHANNELS))


def test_identity_kernel_equals_representative_batch_norm():
    """With gamma 1, beta 0 and a bias of 0."""
    layer = randomized(
        layers.UnifiedBatchNormalization(bound=-1, scale=True, **FLOAT64)
    )
    plain = layers.RepresentativeBatchNormalization(**FLOAT64)
    plain.build((None, 5, 4, CHANNELS))
    initializer = layers.UnifiedBatchNormalization().kernel_initializer
    layer.kernel.assign(initializer(layer.kernel.shape))
    layer.bias.assign(0 * layer.bias)
    for name in ("center_weight", "scale_weight", "scale_bias"):
        getattr(plain, name).assign(getattr(layer, name))
    x = inputs()
    assert_close(training_output(layer, x), training_output(plain, x))
    assert_close(layer(x), plain(x))


def test_only_the_first_examples_are_compared():
    alike = np.repeat(inputs()[:1], 16, axis=0)
    x = np.concatenate([alike, inputs(1)])
    layer = layers.UnifiedBatchNormalization(**FLOAT64)
    layer(x, training=True)
    assert_close(layer.similarity, 1)
    layer(x[1:], training=True)
    want = 0.9 + 0.1 * unified.cosine(x[1:])
    assert_close(layer.similarity, want)
    assert want < 0.999


def test_average_follows_known_cosines():
    layer = layers.UnifiedBatchNormalization(bound=1, **FLOAT64)
    cosines = [-1.0, 0.0, 1.0, 1.0, -1.0]
    pairs = {-1.0: [[1.0, 0], [-2, 0]], 0.0: [[1.0, 0], [0, 3]]}
    for cosine in cosines:
        x = np.array(pairs.get(cosine, [[1.0, 1], [2, 2]]))
        layer(x, training=True)
    later = 0.9 ** np.arange(len(cosines))[::-1]
    assert_close(layer.similarity, 0.9**5 + 0.1 * later @ cosines)


def test_one_example_has_cosine_1_and_none_changes_nothing():
    layer = layers.UnifiedBatchNormalization(**FLOAT64)
    layer.build((None, 5, 4, CHANNELS))
    layer.similarity.assign(0.5)
    layer(inputs()[:1], training=True)
    assert_close(layer.similarity, 0.55)
    mean = layer.moving_mean.numpy()
    masked = np.zeros((6, 5), "bool")
    layer(inputs()[:0], training=True)
    layer(inputs(), training=True, mask=masked)
    layer(np.nan * inputs(), training=True)
    assert_close(layer.similarity, 0.55)
    np.testing.assert_array_equal(layer.moving_mean, mean)


def test_masked_positions_are_zeros_for_the_convolution():
    layer = randomized(layers.UnifiedBatchNormalization(**FLOAT64))
    x, mask = inputs(), np.random.default_rng(5).random((6, 5)) < 0.6
    mask[0] = True
    outputs = []
    for value in (-3.0, 1e6, np.nan):
        x[~mask] = value
        outputs.append(layer(x, training=True, mask=mask)[mask])
    assert_close(outputs[0], outputs[1])
    assert_close(outputs[0], outputs[2])
