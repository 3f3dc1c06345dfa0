"""The search for the best inference weight on validation data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import models
from tests.models.networks import classifier
from tests.models.networks import data
from tests.models.networks import running_layers
from tests.models.networks import with_norm
from tests.support.refusals import refusal
from tests.validation.messages import FRACTION
from tests.validation.messages import ONE_OF

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize("nested", [False, True])
def test_curve_equals_evaluation_with_each_weight(nested):
    model = classifier(nested)
    x, y = data(70, model.input_shape[1:], seed=2)
    weights = [0.0, 0.1, 0.5, 1.0]
    curve = models.tune_inference_weight(
        model, (x, y), LOSS, weights, verbose=0
    )
    assert list(curve) == weights
    best = min(curve, key=curve.get)
    tuned = running_layers(model)
    assert len(tuned) == 2
    assert [layer.inference_weight for layer in tuned] == [best] * 2
    # The functions of the model were traced before, and are traced again.
    loss, _ = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(loss, curve[best], rtol=1e-5)
    for weight in weights:
        for layer in tuned:
            layer.inference_weight = weight
        logits = model(x, training=False)
        np.testing.assert_allclose(LOSS(y, logits), curve[weight], rtol=1e-5)


def test_accuracy_is_maximized_and_ties_select_the_smallest_weight():
    model = classifier()
    x, y = data(70, seed=2)
    curve = models.tune_inference_weight(
        model, (x, y), "accuracy", [0.3, 0.0, 0.1], verbose=0
    )
    best = max(curve.values())
    want = min(weight for weight in curve if curve[weight] == best)
    assert model.layers[1].inference_weight == want
    assert 0 <= best <= 1
    one_hot = np.eye(4)[y]
    same = models.tune_inference_weight(
        model, (x, one_hot), "accuracy", [0.3, 0.0, 0.1], verbose=0
    )
    assert same == curve


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        x, y = data(70, seed=2)
        rows = slice(20 * index, 20 * index + 20)
        return x[rows], y[rows]


def test_forms_of_data():
    model = classifier()
    x, y = data(70, seed=2)
    batched = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    weighed = [(x[:30], y[:30], np.ones(30)), (x[30:], y[30:], np.ones(40))]
    curves = [
        models.tune_inference_weight(model, form, LOSS, [0.0, 0.2], verbose=0)
        for form in ((x, y), batched, weighed, Batches())
    ]
    for curve in curves[1:]:
        np.testing.assert_allclose(
            list(curve.values()), list(curves[0].values()), rtol=1e-5
        )


@pytest.mark.parametrize(
    ("metric", "mode", "best"),
    [
        (lambda y, p: tf.abs(p[:, 0]), "auto", min),
        (lambda y, p: tf.abs(p[:, 0]), "max", max),
        (keras.metrics.SparseTopKCategoricalAccuracy(2), "auto", max),
        (keras.metrics.SparseTopKCategoricalAccuracy(2), "min", min),
    ],
)
def test_mode(metric, mode, best):
    model = classifier()
    curve = models.tune_inference_weight(
        model, data(70), metric, [0.0, 0.5, 1.0], mode=mode, verbose=0
    )
    chosen = model.layers[1].inference_weight
    assert curve[chosen] == best(curve.values())


def test_float64_and_saved_models_keep_the_weight(tmp_path):
    keras.utils.set_random_seed(0)
    norm = layers.BatchNormalization(dtype="float64")
    model = keras.Sequential([keras.Input((4,), dtype="float64"), norm])
    x = np.random.default_rng(0).normal(0, 5, (64, 4))
    models.tune_inference_weight(
        model, (x, 0 * x), "mean_squared_error", [0.0, 0.1], verbose=0
    )
    assert norm.inference_weight == 0.1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].inference_weight == 0.1
    np.testing.assert_array_equal(loaded(x), model(x))


def test_plot_and_progress(tmp_path, capsys):
    path = tmp_path / "curve.png"
    models.tune_inference_weight(
        classifier(), data(70), "accuracy", [0.0, 0.1], plot=path
    )
    assert path.stat().st_size > 1000
    assert "accuracy" in capsys.readouterr().out


def test_failure_restores_the_weights():
    model = classifier()
    model.layers[1].inference_weight = 0.25
    x, y = data(70)
    with pytest.raises(ValueError, match="incompatible"):
        models.tune_inference_weight(
            model, (x[..., :2], y), "accuracy", [0.5], verbose=0
        )
    assert model.layers[1].inference_weight == 0.25
    message = refusal(
        models.tune_inference_weight, model, [], "accuracy", [0.5], verbose=0
    )
    assert message == (
        "The dataset must contain examples. Received: dataset=[], which "
        "contains none. Pass validation data."
    )


def test_bad_arguments_are_refused():
    tune = models.tune_inference_weight
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization()], name="plain"
    )
    batch = (np.ones((8, 4)), np.ones((8, 4)))
    assert refusal(tune, model, batch, "mse") == (
        "The model must contain a keras_norms layer with running statistics, "
        "which has an `inference_weight`. Received: 'plain', which contains "
        "none. Replace its layers by those of keras_norms, with "
        "`keras.models.clone_model` and its `clone_function`."
    )
    model = classifier()
    for bad in ([], None, 0.1):
        assert refusal(tune, model, batch, "mse", bad) == (
            "`weights` must be a list of one or more numbers between 0 and 1. "
            f"Received: weights={bad!r}. Omit the argument to "
            "use the default weights."
        )
    message = FRACTION.format(name="weights", value=1.5)
    assert refusal(tune, model, batch, "mse", [0.5, 1.5]) == message
    modes = ONE_OF.format(["auto", "max", "min"])
    message = modes.format(name="mode", value="'up'")
    assert refusal(tune, model, batch, "mse", mode="up") == message
    assert refusal(tune, model, (b for b in [batch]), "mse") == (
        "The dataset must be iterable once per weight. Received: generator, "
        "which can be iterated only once. Pass a `tf.data.Dataset`, a list "
        "of batches, or arrays `(x, y)`."
    )


X = np.random.default_rng(0).normal(1, 2, (70, 4)).astype("float32")


def test_several_outputs_use_all_examples():
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
def test_nan_is_never_the_best(weights):
    model = with_norm(epsilon=0.0)
    curve = models.tune_inference_weight(
        model, (X, X), "mse", weights, verbose=0
    )
    assert np.isnan(curve[1.0])
    assert model.layers[0].inference_weight == 0.1


def test_missing_labels_and_vector_metrics_are_refused():
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


def test_arrays_and_tuples_of_batches():
    curves = [
        models.tune_inference_weight(
            with_norm(), data, "mse", [0.2], verbose=0
        )
        for data in ((X, X), (X, X, None), ((X[:30], X[:30]), (X[30:],) * 2))
    ]
    for curve in curves[1:]:
        np.testing.assert_allclose(curve[0.2], curves[0][0.2], rtol=1e-6)


def test_nested_models_use_the_new_weight():
    inner = with_norm()
    outer = keras.Sequential([keras.Input((4,)), inner])
    inner.predict(X, verbose=0)
    models.tune_inference_weight(outer, (X, X), "mse", [0.5], verbose=0)
    np.testing.assert_allclose(inner.predict(X, verbose=0), inner(X), 1e-6)
