"""Which variables weight decay leaves out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_norms
from keras_norms import layers
from keras_norms import models
from tests.models.networks import SHAPE
from tests.models.networks import many_norms
from tests.models.networks import with_norm
from tests.support.refusals import refusal
from tests.validation.messages import NOT_NEGATIVE
from tests.validation.messages import ONE_OF


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
def test_excluded_variables_do_not_decay(family, biases):
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


def test_every_parameter_decays_as_in_the_authors_code():
    """Those of calibrations, and of the affine convolution and its bias."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.RepresentativeBatchNormalization(),
            layers.InstanceEnhancementBatchNormalization(),
            layers.UnifiedBatchNormalization(),
        ]
    )
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    exclude = models.exclude_from_weight_decay
    arguments = {"family": "residual", "calibrations": False}
    assert exclude(optimizer, model, **arguments) == []
    excluded = exclude(optimizer, model, family="residual")
    names = {variable.name for variable in excluded}
    assert names == {"center_weight", "scale_weight", "scale_bias"}
    excluded = exclude(optimizer, model)
    names = {variable.name for variable in excluded}
    assert names >= {"gamma", "beta", "bias"}
    assert "kernel" not in names


@pytest.mark.parametrize("reloaded", [False, True])
def test_exclusion_after_training(reloaded, tmp_path):
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


def test_bad_arguments_are_refused():
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


def test_root_mean_square_and_frozen_norms_are_excluded():
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


def test_optimizer_inside_loss_scale_optimizer():
    inner = keras.optimizers.SGD(0.1, weight_decay=0.5)
    model = with_norm()
    models.exclude_from_weight_decay(
        keras.optimizers.LossScaleOptimizer(inner), model
    )
    inner.build(model.trainable_variables)
    zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
    inner.apply(zeros, model.trainable_variables)
    np.testing.assert_array_equal(model.layers[0].gamma, np.ones(4))
