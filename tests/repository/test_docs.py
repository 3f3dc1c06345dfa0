"""Every example of the docstrings, the README and the docs, executed."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re

import keras
import numpy as np
import pytest

import keras_norms
from keras_norms import layers
from keras_norms import models
from keras_norms import ops
from keras_norms import regularizers
from keras_norms.docstrings import insert_blocks

ROOT = pathlib.Path(__file__).parents[2]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(keras_norms.__path__, "keras_norms.")
    if not module.name.endswith("__main__")
)


def blocks(path):
    """The blocks of Python of a page."""
    text = (ROOT / path).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(source, name):
    # A class finds its module by name.
    namespace = {"__name__": name}
    exec(compile(source, name, "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def public(module):
    """The public functions and classes of a module, as test parameters."""
    return [
        pytest.param(getattr(module, name), id=name) for name in module.__all__
    ]


def outline(text):
    """The headings of a docstring after its summary, in order."""
    _, text = text.split("\n", maxsplit=1)
    return re.findall(r"^([A-Z][a-z]+(?: [a-z]+)?):(?: |$)", text, re.M)


def entries(text, heading):
    """What a section states about each name."""
    found = re.search(rf"^{heading}:\n((?:    .*\n|\n)*)", f"{text}\n", re.M)
    section = inspect.cleandoc("\n" + found[1]) if found else ""
    found = re.findall(r"^([\w*]+): (.*(?:\n .*)*)", section, re.MULTILINE)
    return {name: " ".join(gloss.split()) for name, gloss in found}


def arguments(documented):
    """The arguments of a function or class, with their defaults.

    They include those that the `**kwargs` of a class reach in its base classes
    in this package.
    """
    if dataclasses.is_dataclass(documented):
        fields = [f for f in dataclasses.fields(documented) if f.init]
        return {f.name: defaults_of_field(f) for f in fields}
    classes = getattr(documented, "__mro__", [documented])
    found = {}
    for each in classes:
        ours = each.__module__.startswith("keras_norms")
        if ours and (each is documented or "__init__" in vars(each)):
            found = {**inspect.signature(each).parameters, **found}
    return {n: p.default for n, p in found.items() if n != "kwargs"}


def defaults_of_field(field):
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    required = field.default is dataclasses.MISSING
    return inspect.Parameter.empty if required else field.default


HEADINGS = [
    *("Masking", "Inference", "Replicas", "Args", "Call arguments"),
    *("Input shape", "Output shape", "Returns", "Raises", "Example"),
    "Reference",
]
FUNCTIONS = [*public(ops), *public(models)]
DOCUMENTED = [*public(layers), *FUNCTIONS, regularizers.PullToOne]
WITHOUT_EXAMPLE = {
    *("Coefficients", "Moments", "PooledAffine", "affine", "affine_about"),
    *("choose", "where_present"),
}


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_docstrings_have_the_headings_of_keras(documented):
    text = inspect.getdoc(documented)
    summary, *rest = text.splitlines()
    assert summary.endswith(".")
    assert not rest[0]
    assert "{{" not in text
    found = outline(text)
    assert found == [heading for heading in HEADINGS if heading in found]
    assert "Args" in found
    if documented.__name__ not in WITHOUT_EXAMPLE:
        assert ">>> " in text[text.index("Example:") :]


@pytest.mark.parametrize("layer", public(layers))
def test_docstrings_of_layers_have_all_sections(layer):
    missing = set(HEADINGS) - set(outline(inspect.getdoc(layer)))
    assert missing == {"Returns"}


@pytest.mark.parametrize("model_function", public(models))
def test_docstrings_of_model_functions_have_a_reference(model_function):
    found = outline(inspect.getdoc(model_function))
    assert {"Returns", "Raises", "Reference"} <= set(found)


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_docstrings_list_all_arguments_and_defaults(documented):
    text = inspect.getdoc(documented)
    expected = arguments(documented)
    stated = entries(text, "Args")
    assert set(stated) - {"**kwargs"} == set(expected)
    if "call" in dir(documented):
        calls = entries(text, "Call arguments")
        assert list(calls) == list(arguments(documented.call))[1:]
        expected |= arguments(documented.call)
        stated |= calls
    for name, gloss in stated.items():
        default = expected.get(name, inspect.Parameter.empty)
        values = re.findall(r"Defaults to `([^`]+)`", gloss)
        if default is inspect.Parameter.empty:
            assert not values, name
        else:
            assert [ast.literal_eval(v) for v in values] == [default], name


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_formulas_are_code_blocks(documented):
    text = inspect.getdoc(documented)
    before, *_ = re.split(r"^Args:$", text, maxsplit=1, flags=re.MULTILINE)
    prose = re.sub(r"^```\n.*?^```$", "", before, flags=re.M | re.S)
    assert "```" not in prose
    assert not re.search(r"^ ", prose, re.MULTILINE)


def test_an_unknown_block_is_an_error():
    class Documented:
        """Summary.

        {{no_such_block}}
        """

    with pytest.raises(KeyError, match="no_such_block"):
        insert_blocks(Documented)


def test_readme():
    namespace = run("\n".join(blocks("README.md")), "readme")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    y = namespace["model"].predict(x, verbose=0)
    assert y.shape == (2, 10)
    converted = namespace["converted"]
    np.testing.assert_allclose(converted.predict(x, verbose=0), y, atol=1e-5)


def test_a_model_of_keras_changes_its_layers():
    source = "\n".join(blocks("README.md"))
    convert_layer = run(source, "readme")["convert_layer"]
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            keras.layers.GroupNormalization(2),
            keras.layers.BatchNormalization(),
        ]
    )
    model.layers[1].moving_mean.assign([1, 2, 3, 4])
    converted = keras.models.clone_model(model, clone_function=convert_layer)
    converted.set_weights(model.get_weights())
    kinds = [type(layer) for layer in converted.layers]
    assert kinds == [layers.GroupNormalization, layers.BatchNormalization]
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 4))
    want = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        converted.predict(x, verbose=0), want, atol=1e-5
    )


def test_a_method_of_ones_own():
    """The page's example, in under 40 lines, does what it says."""
    source = blocks("docs/architecture.md")[0]
    assert len(source.splitlines()) < 40
    layer = run(source, "method")["LayerInstanceNormalization"]
    layer = layer(epsilon=0.0, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6))
    means = [x.mean(axis, keepdims=True) for axis in (1, (1, 2))]
    squares = [(x**2).mean(axis, keepdims=True) for axis in (1, (1, 2))]
    mean, square = sum(means) / 2, sum(squares) / 2
    want = (x - mean) / np.sqrt(square - mean**2)
    np.testing.assert_allclose(layer(x), want, atol=1e-12)
    config = layer.get_config()
    np.testing.assert_allclose(type(layer).from_config(config)(x), want)


def test_a_method_with_its_own_weight(tmp_path):
    """The page's second example trains its weight and saves it."""
    source = blocks("docs/architecture.md")[1]
    assert len(source.splitlines()) < 40
    kind = run(source, "method")["MixedNormalization"]
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6)).astype("float32")
    model = keras.Sequential([keras.Input((5, 6)), kind(groups=2)])
    before = model.layers[0].share.numpy()
    model.compile("sgd", "mse")
    model.fit(x, np.ones_like(x), epochs=1, verbose=0)
    assert (model.layers[0].share.numpy() != before).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"MixedNormalization": kind}
    )
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_a_method_with_running_averages(tmp_path):
    """The page's third example, trained and at inference."""
    source = blocks("docs/architecture.md")[2]
    assert len(source.splitlines()) < 40
    kind = run(source, "method")["GatedBatchNormalization"]
    layer = kind(epsilon=0.0, momentum=0.0, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6))
    variance = x.var((0, 1))
    gate = variance / (variance + x.var(1, keepdims=True) + 1e-6)
    want = 2 * gate * (x - x.mean((0, 1))) / np.sqrt(variance)
    np.testing.assert_allclose(layer(x, training=True), want, atol=1e-12)
    np.testing.assert_allclose(layer(x), want, atol=1e-12)


def test_a_method_with_running_averages_and_a_weight():
    """The page's fourth example: the weight of a blend is that of self."""
    source = blocks("docs/architecture.md")[3]
    assert len(source.splitlines()) < 40
    kind = run(source, "method")["BlendedBatchNormalization"]
    layer = kind(epsilon=0.0, momentum=0.0, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6))
    layer.build(x.shape)
    slope = np.linspace(-1, 1, 6)
    layer.slope.assign(slope)
    mean, own = x.mean((0, 1)), x.mean(1, keepdims=True)
    mixed = 0.1 * own + 0.9 * mean
    square = 0.1 * (x**2).mean(1, keepdims=True) + 0.9 * (x**2).mean((0, 1))
    want = (x - mixed) / np.sqrt(square - mixed**2) + slope * (own - mean)
    np.testing.assert_allclose(layer(x, training=True), want, atol=1e-12)
    np.testing.assert_allclose(layer(x), want, atol=1e-12)
    config = layer.get_config()
    assert type(layer).from_config(config).weight == 0.1
