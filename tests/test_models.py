"""What is done to whole models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms
from keras_norms import layers
from keras_norms import models
from tests.test_errors import FRACTION
from tests.test_errors import NOT_NEGATIVE
from tests.test_errors import ONE_OF
from tests.test_errors import refusal

SHAPE = (6, 6, 3)


def classifier(nested=False, seed=0):
    """Trained for a moment on images of unlike brightness."""
    keras.utils.set_random_seed(seed)
    body = [
        keras.layers.Conv2D(8, 3, use_bias=False),
        layers.BatchNormalization(activation="relu", momentum=0.8),
        layers.DynamicNormalization(momentum=0.8),
        keras.layers.GlobalAveragePooling2D(),
    ]
    if nested:
        inner = [keras.Input(SHAPE), *body]
        body = [keras.layers.TimeDistributed(keras.Sequential(inner))]
        shape = (2, *SHAPE)
    else:
        shape = SHAPE
    head = [keras.layers.Flatten(), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input(shape), *body, *head])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    x, y = data(shape=shape)
    model.fit(x, y, epochs=2, verbose=0)
    return model


def data(count=100, shape=SHAPE, seed=1):
    random = np.random.default_rng(seed)
    y = random.integers(0, 4, count)
    x = random.normal(size=(count, *shape)) * random.uniform(
        0.5, 3, (count, *[1] * len(shape))
    )
    x[..., 0] += y.reshape(-1, *[1] * (len(shape) - 1)) / 2
    return x.astype("float32"), y


def running_layers(model):
    return [
        layer
        for layer in model._flatten_layers()
        if hasattr(layer, "inference_weight")
    ]


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize("nested", [False, True])
def test_the_curve_is_that_of_evaluating_with_each_weight(nested):
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
    # Of a model whose functions were traced before: they are made again.
    loss, _ = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(loss, curve[best], rtol=1e-5)
    for weight in weights:
        for layer in tuned:
            layer.inference_weight = weight
        logits = model(x, training=False)
        np.testing.assert_allclose(LOSS(y, logits), curve[weight], rtol=1e-5)


def test_accuracy_rises_and_ties_take_the_smallest_weight():
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


def test_data_comes_in_many_forms():
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


def test_a_known_weight_reaches_what_was_traced():
    model = classifier(nested=True)
    x, _ = data(20, model.input_shape[1:], seed=2)
    model.predict(x, verbose=0)
    changed = models.set_inference_weight(model, 0.5)
    assert changed == running_layers(model)
    logits = model(x, training=False)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), logits, rtol=1e-5, atol=1e-5
    )
    message = FRACTION.format(name="weight", value=2)
    assert refusal(models.set_inference_weight, model, 2) == message


def test_what_has_no_weight_is_told_of():
    model = many_norms()
    with pytest.warns(
        UserWarning, match="batch normalization layers of"
    ) as told:
        models.set_inference_weight(model, 0.5)
    assert str(told[0].message) == (
        f"1 of the 4 batch normalization layers of {model.name!r} are layers "
        "of Keras, which have no `inference_weight`, and do not change. "
        "Replace them by those of keras_norms, with "
        "`keras.models.clone_model` and its `clone_function`, which must "
        "clone nested models itself."
    )
    assert told[0].filename == __file__


def test_float64_and_exports_keep_the_weight(tmp_path):
    keras.utils.set_random_seed(0)
    norm = layers.BatchNormalization(dtype="float64")
    model = keras.Sequential([keras.Input((4,), dtype="float64"), norm])
    x = np.random.default_rng(0).normal(0, 5, (64, 4))
    models.tune_inference_weight(
        model, (x, 0 * x), "mean_squared_error", [0.0, 0.1], verbose=0
    )
    assert norm.inference_weight == 0.1
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[0].inference_weight == 0.1
    np.testing.assert_array_equal(again(x), model(x))


def test_the_curve_is_drawn_and_progress_shown(tmp_path, capsys):
    path = tmp_path / "curve.png"
    models.tune_inference_weight(
        classifier(), data(70), "accuracy", [0.0, 0.1], plot=path
    )
    assert path.stat().st_size > 1000
    assert "accuracy" in capsys.readouterr().out


def test_a_failure_leaves_the_weights_alone():
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


def test_what_cannot_be_tuned_is_refused():
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
            f"Received: weights={bad!r}. Leave it out for the usual ones."
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


def many_norms():
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(4, 3),
            layers.BatchInstanceNormalization(name="mixed"),
            layers.DynamicNormalization(name="dynamic"),
            keras.layers.BatchNormalization(name="theirs"),
            layers.RepresentativeBatchNormalization(name="calibrated"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )


def name(variable):
    return "/".join(variable.path.split("/")[-2:])


PLAIN = {
    *("mixed/gamma", "mixed/beta", "mixed/rho"),
    *("dynamic/gamma", "dynamic/beta"),
    *("dynamic/hidden_bias", "dynamic/output_bias"),
    *("theirs/gamma", "theirs/beta"),
    *("calibrated/gamma", "calibrated/beta", "calibrated/center_weight"),
    *("calibrated/scale_weight", "calibrated/scale_bias"),
}


@pytest.mark.parametrize("family", ["plain", "residual"])
@pytest.mark.parametrize("biases", [False, True])
def test_what_does_not_decay(family, biases):
    model = many_norms()
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    excluded = models.exclude_from_weight_decay(
        optimizer, model, family, biases
    )
    expected = set(PLAIN)
    if family == "residual":
        ends = ("/gamma", "/beta")
        expected = {path for path in PLAIN if not path.endswith(ends)}
    if biases:
        expected |= {name(model.layers[0].bias), name(model.layers[-1].bias)}
    assert set(map(name, excluded)) == expected
    before = {name(v): v.numpy() for v in model.trainable_variables}
    zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    for variable in model.trainable_variables:
        share = 1.0 if name(variable) in expected else 1 - 0.1 * 0.5
        want = before[name(variable)] * share
        np.testing.assert_allclose(variable, want, rtol=1e-6)


@pytest.mark.parametrize("reloaded", [False, True])
def test_a_model_that_was_trained_is_told_what_does_not_decay(
    reloaded, tmp_path
):
    model = many_norms()
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    model.compile(optimizer, "mse", loss_weights=[0.0])
    x = np.random.default_rng(0).normal(size=(8, *SHAPE))
    model.fit(x, np.zeros((8, 2)), verbose=0)
    if reloaded:
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    gamma = model.get_layer("mixed").gamma
    excluded = models.exclude_from_weight_decay(model.optimizer, model)
    assert any(gamma is variable for variable in excluded)
    before, kernel = gamma.numpy(), model.layers[0].kernel.numpy()
    model.fit(x, np.zeros((8, 2)), verbose=0)
    np.testing.assert_array_equal(gamma, before)
    np.testing.assert_allclose(
        model.layers[0].kernel, 0.95 * kernel, rtol=1e-6
    )


def test_what_cannot_be_excluded_is_refused():
    exclude = models.exclude_from_weight_decay
    model = many_norms()
    optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    families = ONE_OF.format(["plain", "residual"])
    message = families.format(name="family", value="'resnet'")
    assert refusal(exclude, optimizer, model, "resnet") == message
    assert refusal(exclude, keras.optimizers.SGD(), model) == (
        "The optimizer must have weight decay. Received: SGD with "
        "weight_decay=None. Set `weight_decay`, or remove this call."
    )
    without = keras.Sequential([keras.layers.Dense(2)], name="m")
    assert refusal(exclude, optimizer, without) == (
        "The model must be built before its variables are selected. "
        "Received: 'm', which is not built. Call `model.build(shape)`, or "
        "add an `Input`."
    )
    without.build((None, 3))
    assert refusal(exclude, optimizer, without) == (
        "The model must contain a normalization layer of keras_norms or "
        "keras.layers. Received: 'm', which contains none. Pass the model "
        "that contains them."
    )
    assert refusal(exclude, "adamw", model) == (
        "`optimizer` must be a Keras optimizer. Received: optimizer='adamw'. "
        "Create one, such as `keras.optimizers.AdamW(weight_decay=1e-4)`, "
        "and pass the same object to `compile`."
    )
    message = NOT_NEGATIVE.format(name="weight_decay", value=-1)
    assert refusal(keras_norms.regularizers.PullToOne, -1) == message
