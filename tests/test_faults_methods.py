"""Faults that were found in the methods and in what is done to models."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import models
from keras_norms import ops
from keras_norms.layers import BaseBatchNormalization
from tests.test_errors import refusal

X = np.random.default_rng(0).normal(1, 2, (70, 4)).astype("float32")


def with_norm(*layers_after, **arguments):
    norm = layers.BatchNormalization(**arguments)
    return keras.Sequential([keras.Input((4,)), norm, *layers_after])


@pytest.mark.parametrize("statistics", ["sequential", "average", "batch"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equal_replicas_move_ghost_statistics_as_one_device_does(
    strategy, statistics, momentum
):
    """A target below 0, of a falling variance, was cut off in the merge."""
    x = 0.1 * X[:32]

    def make():
        layer = layers.GhostBatchNormalization(
            2, ghost_statistics=statistics, momentum=momentum
        )
        layer.build((None, 4))
        return layer

    alone = make()
    with strategy.scope():
        layer = make()
    step = tf.function(lambda: strategy.run(layer, (x,), {"training": True}))
    for _ in range(3):
        step()
        alone(x, training=True)
    for name in ("moving_mean", "moving_variance"):
        have, want = getattr(layer, name), getattr(alone, name)
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-7)


def test_all_examples_are_tuned_on_with_several_outputs():
    inputs = keras.Input((4,))
    h = layers.BatchNormalization()(inputs)
    model = keras.Model(inputs, [h, 2 * h])

    def metric(y, prediction):
        return tf.reduce_mean((prediction[1] - y[0]) ** 2, axis=-1)

    curve = models.tune_inference_weight(
        model, (X, [X, X]), metric, [0.0], verbose=0
    )
    want = np.mean((model.predict(X, verbose=0)[1] - X) ** 2)
    np.testing.assert_allclose(curve[0.0], want, rtol=1e-5)
    message = refusal(
        models.tune_inference_weight, model, (X, [X, X]), "mse", verbose=0
    )
    assert message == (
        "A metric of Keras takes one prediction, and the model has several "
        "outputs. Received: 2 outputs. Pass a function of `(y, prediction)` "
        "that takes all of them and returns one value per example."
    )


@pytest.mark.parametrize("weights", [[1.0, 0.1], [0.1, 1.0]])
def test_what_is_not_a_number_is_not_best(weights):
    model = with_norm(epsilon=0.0)
    curve = models.tune_inference_weight(
        model, (X, X), "mse", weights, verbose=0
    )
    assert np.isnan(curve[1.0])
    assert model.layers[0].inference_weight == 0.1


def test_data_without_labels_or_a_metric_of_many_numbers_is_refused():
    tune = models.tune_inference_weight
    data = tf.data.Dataset.from_tensor_slices(X).batch(8)
    assert refusal(tune, with_norm(), data, "mse", verbose=0) == (
        "The dataset must yield batches `(x, y)` or `(x, y, sample_weight)`. "
        "Received: EagerTensor. Include the labels."
    )
    metric = keras.metrics.F1Score()
    y = np.eye(4)[np.arange(70) % 4]
    assert refusal(tune, with_norm(), (X, y), metric, verbose=0) == (
        "The metric must be a scalar. Received: F1Score with a result of "
        "shape (4,). Average it, or pass a function."
    )


def test_arrays_without_weights_and_tuples_of_batches_are_data():
    curves = [
        models.tune_inference_weight(
            with_norm(), data, "mse", [0.2], verbose=0
        )
        for data in ((X, X), (X, X, None), ((X[:30], X[:30]), (X[30:],) * 2))
    ]
    for curve in curves[1:]:
        np.testing.assert_allclose(curve[0.2], curves[0][0.2], rtol=1e-6)


def test_nested_models_predict_with_the_new_weight():
    inner = with_norm()
    outer = keras.Sequential([keras.Input((4,)), inner])
    inner.predict(X, verbose=0)
    models.tune_inference_weight(outer, (X, X), "mse", [0.5], verbose=0)
    np.testing.assert_allclose(inner.predict(X, verbose=0), inner(X), 1e-6)


def test_kernels_that_are_not_trained_as_they_are_are_refused():
    dense = keras.layers.Dense(3, name="dense")
    wrapper = layers.WeightStandardization(dense)
    wrapper(X)
    dense.enable_lora(2)
    assert refusal(wrapper.call, X) == (
        "WeightStandardization requires a kernel that is trained as it is "
        "stored. Received: 'dense', with a low-rank update. Exclude the "
        "wrapped layer from it."
    )


def test_a_wrapped_layer_keeps_its_activity_regularizer():
    def loss(wrap):
        keras.utils.set_random_seed(0)
        dense = keras.layers.Dense(
            3, activity_regularizer="l2", kernel_regularizer="l2"
        )
        model = keras.Sequential([keras.Input((4,)), wrap(dense)])
        model(X)
        return [float(value) for value in model.losses]

    plain = loss(lambda dense: dense)
    wrapped = loss(layers.WeightStandardization)
    assert len(wrapped) == len(plain) == 2
    assert min(np.abs(np.subtract.outer(wrapped, plain)).min(0)) < 1e-6


def test_a_wrapped_layer_reads_all_its_weights_of_an_outer_scope():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.WeightStandardization(keras.layers.Dense(1)),
        ]
    )
    values = [v.value for v in model.trainable_variables]
    values[1] = tf.constant([100.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        y, _ = model.stateless_call(values, [], 0 * X[:2])
    np.testing.assert_array_equal(y, [[100.0], [100.0]])
    assert tape.gradient(y, values)[1] == 2


def test_a_mask_goes_through_what_it_goes_through_unwrapped():
    wrap = layers.WeightStandardization
    for layer in (
        keras.layers.Conv1D(4, 3, strides=2),
        keras.layers.Dense(4),
    ):
        x = tf.ones((2, 9, 3))
        inputs = keras.layers.Masking()(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            masks = [
                getattr(each(inputs), "_keras_mask", None)
                for each in (layer, wrap(layer))
            ]
        assert (masks[0] is None) == (masks[1] is None)


@pytest.mark.parametrize("warmup_steps", [0, 100])
def test_empty_and_infinite_batches_are_not_called_condensed(warmup_steps):
    layer = layers.UnifiedBatchNormalization(warmup_steps=warmup_steps)
    layer(X[:0], training=True)
    layer(np.nan * X, training=True)
    layer(X, training=True, mask=np.zeros(70, "bool"))
    assert layer.condensed == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(X)


@pytest.mark.parametrize(("after", "warns"), [(1, False), (2, True)])
def test_the_warning_comes_after_a_tenth_of_the_warm_up(after, warns):
    layer = layers.UnifiedBatchNormalization(-1.0, warmup_steps=20)
    for _ in range(20 + after):
        layer(X, training=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(X)
    assert len(caught) == warns


@pytest.mark.parametrize("pooled", [False, True])
def test_one_mask_for_all_examples_leaves_all_of_them(pooled):
    x = np.random.default_rng(0).normal(1, 1, (5, 4, 3))
    want = ops.feature_similarity(x, pooled=pooled)
    for mask in (np.ones((5, 4), bool), np.ones((1, 4), bool)):
        have = ops.feature_similarity(x, mask, pooled=pooled)
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_similarity_beyond_the_range_of_squares_is_0():
    assert ops.feature_similarity(np.full((3, 4), 1e30, "float32")) == 0


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in layers.__all__
        if issubclass(getattr(layers, name), layers.BaseBatchNormalization)
        and name != "BaseBatchNormalization"
    ],
)
def test_training_on_what_is_all_masked_gives_zeros(name):
    arguments = {"groups": 1} if "Group" in name else {}
    layer = getattr(layers, name)(beta_initializer="ones", **arguments)
    x = np.ones((2, 3, 4), "float32")
    y = layer(x, training=True, mask=np.zeros((2, 3), bool))
    np.testing.assert_array_equal(y, 0 * x)


def test_root_mean_square_norms_and_frozen_ones_do_not_decay():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.RMSNormalization(),
            layers.BatchNormalization(),
        ]
    )
    model.trainable = False
    for family, names in (
        ("plain", ["scale", "gamma", "beta"]),
        ("residual", []),
    ):
        optimizer = keras.optimizers.AdamW(weight_decay=0.1)
        excluded = models.exclude_from_weight_decay(optimizer, model, family)
        assert [variable.name for variable in excluded] == names


def test_the_optimizer_inside_a_loss_scale_is_told():
    inner = keras.optimizers.SGD(0.1, weight_decay=0.5)
    model = with_norm()
    models.exclude_from_weight_decay(
        keras.optimizers.LossScaleOptimizer(inner), model
    )
    inner.build(model.trainable_variables)
    zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
    inner.apply(zeros, model.trainable_variables)
    np.testing.assert_array_equal(model.layers[0].gamma, np.ones(4))


@pytest.mark.parametrize("training", [False, True])
def test_moments_of_examples_are_asked_for_before_they_are_read(training):
    class Forgetful(BaseBatchNormalization):
        def algebra(self, moments, instance, params):
            return ops.affine(moments.blend(instance, 0.5))

    layer = Forgetful()
    layer.build(X.shape)
    message = refusal(layer.call, X, training=training)
    assert message == (
        "A layer that reads the moments of each example must set "
        "`per_example = True`. Received: `instance.minus` without it. Set it "
        "in the class."
    )
