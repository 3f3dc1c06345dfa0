"""Quantized models, and the dtype of standardized layers."""

import warnings

import keras
import numpy as np
import pytest

import keras_norms
from keras_norms import layers
from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import DESCRIPTORS
from tests.conformance.descriptors import public_layers

X = np.random.default_rng(0).normal(size=(4, 5, 5, CHANNELS))
X = X.astype("float32")
OTHERS = {name: getattr(layers, name) for name in public_layers()}
WeightStandardization = OTHERS.pop("WeightStandardization")


def wrapped_model(dtype="float32"):
    """A convolution, which Keras cannot quantize, and a dense layer."""
    keras.utils.set_random_seed(0)
    convolution = keras.layers.Conv2D(8, 3, activation="relu")
    return keras.Sequential(
        [
            keras.Input(X.shape[1:]),
            WeightStandardization(convolution, dtype=dtype),
            keras.layers.GlobalAveragePooling2D(dtype=dtype),
            WeightStandardization(keras.layers.Dense(6), dtype=dtype),
        ]
    )


def quantized(model, mode):
    """Quantizes a model and returns the messages of Keras's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.quantize(mode)
    return [str(warning.message) for warning in caught]


def refusal(kind, function, *args, **kwargs):
    with pytest.raises(kind) as error:
        function(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize(
    ("mode", "dtype", "error"),
    [
        ("int8", "float32", 0.02),
        ("int8", "mixed_bfloat16", 0.04),
        ("int4", "float32", 0.3),
    ],
)
def test_standardized_model_is_quantized(mode, dtype, error, tmp_path):
    model = wrapped_model(dtype)
    convolution, _, dense = model.layers
    before = convolution.layer.kernel.numpy()
    want = np.array(model(X), "float32")
    messages = quantized(model, mode)
    skipped = [m for m in messages if "Conv2D" in m]
    assert len(skipped) == 1
    np.testing.assert_array_equal(convolution.layer.kernel, before)
    assert dense.layer.quantization_mode == mode
    assert dense.dtype_policy == dense.layer.dtype_policy
    assert dense.compute_dtype == keras.DTypePolicy(dtype).compute_dtype
    have = np.array(model(X), "float32")
    scale = np.abs(want).max()
    assert 0 < np.abs(have - want).max() < error * scale
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.array(loaded(X), "float32"), have)
    assert loaded.layers[-1].layer.quantization_mode == mode
    message = refusal(ValueError, dense.layer.quantize, "int8")
    assert "is already quantized" in message


def test_policy_assigned_to_the_wrapper_quantizes_it():
    model = wrapped_model()
    want = model(X)
    model.layers[-1].dtype_policy = "int8_from_float32"
    assert model.layers[-1].layer.quantization_mode == "int8"
    np.testing.assert_allclose(model(X), want, atol=0.2)


def test_other_modes_are_skipped():
    model = wrapped_model()
    want = model(X)
    messages = quantized(model, "float8")
    for wrapper in (model.layers[0], model.layers[-1]):
        name = wrapper.layer.name
        assert (
            "WeightStandardization can only be quantized to integers, after "
            f"training. Received: mode='float8' for {name!r}. Use \"int8\" or "
            '"int4", or do not quantize the layer.'
        ) in messages
    np.testing.assert_array_equal(model(X), want)


def test_quantized_layer_is_refused():
    dense = keras.layers.Dense(3, name="dense")
    dense.build((None, 4))
    dense.quantize("int8")
    assert refusal(ValueError, WeightStandardization, dense) == (
        "WeightStandardization must wrap a layer before the layer is "
        "quantized. Received: 'dense', quantized as 'int8_from_float32'. "
        "Wrap the layer first, then quantize the model."
    )
    dense = keras.layers.Dense(3, name="dense", dtype="float8_from_float32")
    assert refusal(ValueError, WeightStandardization, dense) == (
        "WeightStandardization requires a kernel that is trained as it is "
        "stored. Received: 'dense', quantized as 'float8_from_float32'. "
        "Exclude the wrapped layer from it."
    )


def test_low_rank_update_is_refused():
    low_rank = (
        "WeightStandardization requires a kernel that is trained as it is "
        "stored. Received: 'dense', with a low-rank update. Exclude the "
        "wrapped layer from it."
    )
    dense = keras.layers.Dense(3, name="dense")
    wrapper = WeightStandardization(dense)
    wrapper.build((None, 4))
    dense.enable_lora(1)
    x = np.ones((2, 4), "float32")
    assert refusal(ValueError, wrapper.call, x) == low_rank
    assert refusal(ValueError, dense.quantize, "int8") == low_rank
    assert refusal(ValueError, WeightStandardization, dense) == low_rank


def test_every_other_layer_is_skipped():
    inputs = keras.Input(X.shape[1:])
    created = [
        d.create() for d in DESCRIPTORS if not d.name.startswith("Weight")
    ]
    created += [layers.ThresholdedLinearUnit(), layers.EnhancedAffine()]
    assert {type(layer).__name__ for layer in created} == set(OTHERS)
    outputs = sum(layer(inputs) for layer in created)
    model = keras.Model(inputs, keras.layers.Dense(2)(outputs))
    want = model(X)
    messages = quantized(model, "int8")
    for name in OTHERS:
        assert any(name in message for message in messages), name
    np.testing.assert_allclose(
        model(X), want, atol=0.02 * float(np.abs(want).max())
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64", "bfloat16"])
def test_dtype_equals_that_of_the_wrapped_layer(policy):
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    by_layer = WeightStandardization(keras.layers.Dense(3, dtype=policy))
    wrapper = WeightStandardization(keras.layers.Dense(3), dtype=policy)
    for each in (wrapper, by_layer):
        each.build(x.shape)
        each.layer.kernel.assign(np.arange(12.0).reshape(4, 3) % 5)
        assert each.dtype_policy.name == each.layer.dtype_policy.name == policy
        assert each.compute_dtype == keras.DTypePolicy(policy).compute_dtype
        assert each.variable_dtype == each.layer.kernel.dtype
        assert each(x).dtype == each.compute_dtype
        assert each(keras.Input((4,))).dtype == each.compute_dtype
    np.testing.assert_array_equal(
        np.array(wrapper(x), "float64"), np.array(by_layer(x), "float64")
    )
    config = wrapper.get_config()
    restored = WeightStandardization.from_config(dict(config))
    assert restored.layer.dtype_policy.name == policy
    assert restored.get_config()["dtype"] == config["dtype"]


def test_dtype_of_a_built_layer_is_fixed():
    dense = keras.layers.Dense(3, name="dense")
    dense.build((None, 4))
    WeightStandardization(dense, dtype="float32")
    message = refusal(
        ValueError, WeightStandardization, dense, dtype="mixed_bfloat16"
    )
    assert message == (
        "WeightStandardization has the dtype of the wrapped layer, which "
        "cannot change after the layer is built. Received: "
        "dtype='mixed_bfloat16' for 'dense', which is built with 'float32'. "
        "Omit `dtype`, or wrap the layer before it is built."
    )


@pytest.mark.parametrize("dtype", ["float32", {"name": "float32"}])
def test_old_configurations_keep_the_policy_of_the_layer(dtype):
    """They contain the dtype of the variables as that of the wrapper."""
    if isinstance(dtype, dict):
        dtype = keras.dtype_policies.serialize(keras.DTypePolicy(**dtype))
    dense = keras.layers.Dense(3, dtype="mixed_bfloat16")
    config = {**WeightStandardization(dense).get_config(), "dtype": dtype}
    wrapper = WeightStandardization.from_config(config)
    assert wrapper.dtype_policy.name == "mixed_bfloat16"
    config["dtype"] = "float64"
    wrapper = WeightStandardization.from_config(config)
    assert wrapper.layer.dtype_policy.name == "float64"


@pytest.mark.parametrize("name", OTHERS)
def test_dtype_of_the_other_layers(name):
    arguments = {"groups": 2} if "Group" in name else {}
    layer = OTHERS[name](dtype="mixed_bfloat16", **arguments)
    assert layer.compute_dtype == layer(X).dtype == "bfloat16"
    assert all(w.dtype == "float32" for w in layer.weights)
    restored = keras_norms.layers.__dict__[name].from_config(
        layer.get_config()
    )
    assert restored.dtype_policy.name == "mixed_bfloat16"
