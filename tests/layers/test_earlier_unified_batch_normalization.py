"""Unified batch normalization of version 0.1, which saved files contain."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.layers.steps import AXES
from tests.layers.steps import FLOAT64
from tests.layers.steps import batch_norm_like
from tests.layers.steps import randomized
from tests.layers.steps import step
from tests.support.samples import CHANNELS
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import random_moments
from tests.support.samples import training_output

BARE = {"calibrate_center": False, "calibrate_scale": False}
ALWAYS = {"condensation_threshold": -1.0, "warmup_steps": 0}
pytestmark = pytest.mark.filterwarnings(
    "ignore:`UnifiedBatchNormalization:DeprecationWarning"
)
READINGS = ["keep_statistics", "use_running"]


def create(*args, **kwargs):
    return layers.UnifiedBatchNormalization(*args, reading="0.1", **kwargs)


@pytest.mark.parametrize("when_condensed", READINGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threshold", [1, 1.0])
def test_threshold_1_is_bit_equal_to_batch_norm(
    when_condensed, dtype, threshold
):
    """Also for equal examples, whose similarity would round to above 1."""
    layer = create(
        condensation_threshold=threshold,
        warmup_steps=0,
        when_condensed=when_condensed,
        dtype=dtype,
        **BARE,
    )
    plain = batch_norm_like(layer)
    for x in (inputs(), np.broadcast_to(inputs()[:1], inputs().shape)):
        x, dy = x.astype(dtype), inputs(1).astype(dtype)
        steps = (step(each, x, dy) for each in (layer, plain))
        for have, want in zip(*steps, strict=True):
            np.testing.assert_array_equal(have, want)
        np.testing.assert_array_equal(layer(x), plain(x))


def test_condensed_batches_keep_running_statistics():
    x = inputs()
    layer = create(**ALWAYS, **BARE, **FLOAT64)
    plain = batch_norm_like(layer)
    for seed in range(3):
        x = inputs(seed)
        np.testing.assert_array_equal(
            training_output(layer, x), training_output(plain, x)
        )
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(CHANNELS))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(CHANNELS))
    assert layer.updates == 0
    assert layer.steps == 3


@pytest.mark.parametrize("more", [BARE, {}, {"inference_weight": 0.3}])
def test_condensed_batches_with_use_running_equal_inference(more):
    layer = create(
        when_condensed="use_running",
        **ALWAYS,
        **FLOAT64,
        **more,
    )
    randomized(layer)
    mean, variance = random_moments()
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    x = inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_close(training_output(layer, x), layer(x))
    np.testing.assert_array_equal(layer.moving_mean, mean)


def test_running_statistics_skip_condensed_batches():
    condensed = np.abs(inputs()) + 20
    batches = [condensed, inputs(1), condensed, condensed, inputs(2)]
    layer = create(
        condensation_threshold=0.9,
        warmup_steps=0,
        momentum=0.8,
        **BARE,
        **FLOAT64,
    )
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for x in batches:
        layer(x, training=True)
        assert_close(layer.similarity, ops.feature_similarity(x))
        if x is not condensed:
            mean = 0.8 * mean + 0.2 * x.mean(AXES)
            variance = 0.8 * variance + 0.2 * x.var(AXES)
        assert_close(layer.moving_mean, mean)
        assert_close(layer.moving_variance, variance)
    assert layer.steps == 5
    assert layer.updates == 2


def test_warm_up_updates_with_every_batch():
    layer = create(
        condensation_threshold=-1.0,
        warmup_steps=3,
        **BARE,
        **FLOAT64,
    )
    plain = batch_norm_like(layer)
    for seed in range(3):
        training_output(layer, inputs(seed))
        training_output(plain, inputs(seed))
    training_output(layer, inputs(9))
    np.testing.assert_array_equal(layer.moving_mean, plain.moving_mean)
    np.testing.assert_array_equal(layer.moving_variance, plain.moving_variance)


def test_inference_computes_no_similarity():
    layer = create(**FLOAT64)
    before = layer(inputs())
    layer.observed = None
    np.testing.assert_array_equal(layer(inputs()), before)


def layer_with_condensed_batches(**more):
    layer = create(**{**ALWAYS, "name": "norm", **more})
    for _ in range(4):
        layer(np.ones((4, 3), "float32"), training=True)
    return layer


WARNING = (
    "norm: every batch since its warm-up of {} steps was condensed ({} so "
    "far, similarity above -1.0, last 1.000), so the running statistics are "
    "{}, and inference with them may be inaccurate. Raise "
    "`condensation_threshold` or `warmup_steps`."
)


@pytest.mark.parametrize(
    ("steps", "skipped", "state"),
    [(0, 4, "still the initial ones"), (2, 2, "those of the first 2 steps")],
)
def test_layer_with_condensed_batches_only_warns_once(steps, skipped, state):
    layer = layer_with_condensed_batches(warmup_steps=steps)
    with pytest.warns(UserWarning, match="^norm: ") as caught:
        layer(np.ones((4, 3), "float32"))
    (warning,) = caught
    assert str(warning.message) == WARNING.format(steps, skipped, state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(np.ones((4, 3), "float32"))


def test_model_with_condensed_batches_only_warns_on_use(tmp_path):
    def fitted():
        layer = create(**ALWAYS, name="norm")
        model = keras.Sequential([keras.Input((3,)), layer])
        model.compile("sgd", "mse")
        x = np.ones((8, 3))
        model.fit(x, x, batch_size=2, verbose=0)
        return model

    message = WARNING.format(0, 4, "still the initial ones")
    for use in (
        lambda model: model.save(tmp_path / "model.keras"),
        lambda model: model.predict(np.ones((8, 3)), verbose=0),
        lambda model: model.evaluate(np.ones((8, 3)), np.ones((8, 3))),
    ):
        with pytest.warns(UserWarning, match="^norm: ") as caught:
            use(fitted())
        ours = [str(w.message) for w in caught if "norm: " in str(w.message)]
        assert ours == [message]


def test_no_warning_with_other_batches():
    layer = create(warmup_steps=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(inputs().astype("float32"))
        layer(inputs().astype("float32"), training=True)
        layer(np.ones((6, 5, 4, CHANNELS), "float32"), training=True)
        layer(inputs().astype("float32"))


@pytest.mark.parametrize("when_condensed", READINGS)
def test_similarity_is_not_inside_a_conditional(when_condensed):
    """Collectives are not allowed there, so all replicas compute it."""
    layer = create(when_condensed=when_condensed, inference_weight=0.1)
    layer.build((None, 5, 4, CHANNELS))

    @tf.function
    def run(x, training):
        return layer(x, training=training)

    graph = run.get_concrete_function(
        tf.TensorSpec((None, 5, 4, CHANNELS)), tf.TensorSpec((), "bool")
    ).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert not kinds & {"If", "StatelessIf", "Case", "While", "StatelessWhile"}
    assert "MatMul" in kinds


X = np.random.default_rng(0).normal(1, 2, (70, 4)).astype("float32")


@pytest.mark.parametrize("warmup_steps", [0, 100])
def test_empty_and_infinite_batches_are_not_condensed(warmup_steps):
    layer = create(warmup_steps=warmup_steps)
    layer(X[:0], training=True)
    layer(np.nan * X, training=True)
    layer(X, training=True, mask=np.zeros(70, "bool"))
    assert layer.condensed == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(X)


@pytest.mark.parametrize(("after", "warns"), [(1, False), (2, True)])
def test_warning_starts_after_a_tenth_of_the_warm_up(after, warns):
    layer = create(-1.0, warmup_steps=20)
    for _ in range(20 + after):
        layer(X, training=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(X)
    assert len(caught) == warns
