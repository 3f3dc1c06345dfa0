"""docs/defaults.md agrees with the signatures, and saved values are kept."""

import ast
import inspect
import pathlib
import re

import keras
import pytest

from keras_norms import layers
from keras_norms.layers import BaseBatchNormalization
from keras_norms.layers import BaseNormalization
from tests.conformance.descriptors import COMPANIONS
from tests.conformance.descriptors import public_layers

ROOT = pathlib.Path(__file__).parents[2]
CROSS = "CrossReplicaBatchNormalization"
NORMS = [name for name in public_layers() if name not in COMPANIONS]


def page_tables():
    """Yields the rows of each table of the page, by their first cell."""
    text = (ROOT / "docs/defaults.md").read_text()
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    for table in tables:
        rows = [line[1:-1].split("|") for line in table.splitlines()]
        yield {
            row[0].strip(" `"): [cell.strip() for cell in row[1:]]
            for row in rows[2:]
        }


def signature_defaults(kind):
    """The defaults in the signature of a class, without `layer`."""
    parameters = inspect.signature(kind).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not inspect.Parameter.empty
    }


def all_defaults(kind):
    """The defaults of a class and of the classes that its `**kwargs` reach."""
    defaults = {}
    for base in kind.__mro__:
        if base is keras.layers.Layer:
            return defaults
        ours = base.__module__.startswith("keras_norms")
        if ours and "__init__" in vars(base):
            defaults = {**signature_defaults(base), **defaults}
    return defaults


LAYERS, SHARED = page_tables()


def test_page_lists_every_layer():
    assert sorted(LAYERS) == sorted(layers.__all__)


def stated_arguments(name):
    """The other arguments in the row of a layer, with their defaults."""
    found = re.findall(r"`(\w+)=([^`]+)`", LAYERS[name][2])
    return {argument: ast.literal_eval(value) for argument, value in found}


@pytest.mark.parametrize("name", layers.__all__)
def test_page_agrees_with_signature(name):
    have = signature_defaults(getattr(layers, name))
    epsilon, momentum, _, source = LAYERS[name]
    stated = stated_arguments(name)
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
    have = all_defaults(kind)
    for argument, (default, which) in SHARED.items():
        if which == "all" or running:
            value = ast.literal_eval(re.match(r"`([^`]+)`", default).group(1))
            own = any(
                argument in stated_arguments(base.__name__)
                for base in kind.__mro__
                if base.__name__ in LAYERS
            )
            if not own and (name, argument) != (CROSS, "synchronized"):
                assert have[argument] == value, argument
    base = BaseBatchNormalization if running else BaseNormalization
    assert set(all_defaults(base)) == {"epsilon"} | (
        {"momentum", *SHARED}
        if running
        else {name for name, row in SHARED.items() if row[1] == "all"}
    )


@pytest.mark.parametrize("name", NORMS)
def test_saved_configuration_keeps_its_values(name):
    """Earlier versions saved epsilon 1e-3 and momentum 0.99 for all layers."""
    kind = getattr(layers, name)
    config = {**kind().get_config(), "epsilon": 1e-3}
    if "momentum" in config:
        config["momentum"] = 0.99
    layer = kind.from_config(dict(config))
    assert layer.get_config() == config
    assert layer.epsilon == 1e-3
    assert getattr(layer, "momentum", 0.99) == 0.99


def test_configurations_contain_every_argument():
    for name in NORMS:
        kind = getattr(layers, name)
        missing = set(all_defaults(kind)) - set(kind().get_config())
        assert not missing, name
