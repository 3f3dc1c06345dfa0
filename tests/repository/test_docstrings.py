"""Every docstring has Keras's headings, and its examples run as printed."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import keras_norms
from keras_norms import layers
from keras_norms import models
from keras_norms import ops
from keras_norms import regularizers
from keras_norms.docstrings import insert_blocks

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(keras_norms.__path__, "keras_norms.")
    if not module.name.endswith("__main__")
)


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
    wanted = {"Returns", "Raises", "Reference"}
    if model_function is models.describe_normalization:
        wanted.remove("Reference")
    assert wanted <= set(found)


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
