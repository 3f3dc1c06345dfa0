"""docs/defaults.md says what the signatures say; saved values stay."""

import ast
import inspect
import pathlib
import re

import keras
import pytest

from keras_norms import layers
from keras_norms.layers import BaseBatchNormalization
from keras_norms.layers import BaseNormalization

ROOT = pathlib.Path(__file__).parents[2]
CROSS = "CrossReplicaBatchNormalization"
COMPANIONS = ("ThresholdedLinearUnit", "WeightStandardization")
NORMS = [name for name in layers.__all__ if name not in COMPANIONS]


def tables():
    """The rows of each table of the page, by their first cell."""
    text = (ROOT / "docs/defaults.md").read_text()
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    for table in found:
        rows = [line[1:-1].split("|") for line in table.splitlines()]
        yield {
            row[0].strip(" `"): [cell.strip() for cell in row[1:]]
            for row in rows[2:]
        }


def own(kind):
    """The defaults in a class's own signature, `layer` left out."""
    parameters = inspect.signature(kind).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not inspect.Parameter.empty
    }


def every(kind):
    """The defaults of a class and of what its `**kwargs` reach."""
    found = {}
    for base in kind.__mro__:
        if base is keras.layers.Layer:
            return found
        ours = base.__module__.startswith("keras_norms")
        if ours and "__init__" in vars(base):
            found = {**own(base), **found}
    return found


LAYERS, SHARED = tables()


def test_the_page_has_every_layer():
    assert sorted(LAYERS) == sorted(layers.__all__)


@pytest.mark.parametrize("name", layers.__all__)
def test_the_page_and_the_signature_agree(name):
    have = own(getattr(layers, name))
    epsilon, momentum, others, source = LAYERS[name]
    stated = {
        argument: ast.literal_eval(value)
        for argument, value in re.findall(r"`(\w+)=([^`]+)`", others)
    }
    for argument, cell in (("epsilon", epsilon), ("momentum", momentum)):
        if cell:
            stated[argument] = float(cell)
    assert {k: v for k, v in have.items() if k not in SHARED} == {
        k: v for k, v in stated.items() if k not in SHARED
    }
    assert stated.items() <= have.items()
    assert bool(source) == ("epsilon" in have)


@pytest.mark.parametrize("name", NORMS)
def test_shared_arguments_have_one_default(name):
    kind = getattr(layers, name)
    running = issubclass(kind, BaseBatchNormalization)
    have = every(kind)
    for argument, (default, which) in SHARED.items():
        if which == "all" or running:
            value = ast.literal_eval(re.match(r"`([^`]+)`", default).group(1))
            if (name, argument) != (CROSS, "synchronized"):
                assert have[argument] == value, argument
    base = BaseBatchNormalization if running else BaseNormalization
    assert set(every(base)) == {"epsilon"} | (
        {"momentum", *SHARED}
        if running
        else {name for name, row in SHARED.items() if row[1] == "all"}
    )


@pytest.mark.parametrize("name", NORMS)
def test_a_saved_configuration_keeps_its_values(name):
    """Earlier versions had 1e-3 and 0.99 everywhere, and wrote them."""
    kind = getattr(layers, name)
    config = {**kind().get_config(), "epsilon": 1e-3}
    if "momentum" in config:
        config["momentum"] = 0.99
    layer = kind.from_config(dict(config))
    assert layer.get_config() == config
    assert layer.epsilon == 1e-3
    assert getattr(layer, "momentum", 0.99) == 0.99


def test_no_configuration_leaves_a_value_to_a_default():
    for name in NORMS:
        kind = getattr(layers, name)
        missing = set(every(kind)) - set(kind().get_config())
        assert not missing, name
