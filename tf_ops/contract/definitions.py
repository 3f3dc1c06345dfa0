"""The lists of this folder, for Python: activations and operations."""

import collections
import functools
import pathlib
import re

FOLDER = pathlib.Path(__file__).parent
# The line of operations.def after which GPUs have no kernels.
_CPUS_ONLY = "#ifndef KERAS_NORMS_FOR_GPUS"

# The fields of KERAS_NORMS_ACTIVATION. `definition` and `derivative` are
# expressions of z.
Activation = collections.namedtuple(
    "Activation", "name formula definition derivative"
)
# `inputs` and `outputs` are {name: extent}, in order.
Operation = collections.namedtuple(
    "Operation", "name attributes inputs outputs"
)


@functools.cache
def activations():
    """The activations by name, in the order of their numbers."""
    calls = _calls(_text("activations.def"))
    found = [Activation(*arguments) for _, arguments in calls]
    return {each.name: each for each in found}


@functools.cache
def operations():
    """The operations that GPUs have, too, by the names of their kernels."""
    return _operations(_text("operations.def").partition(_CPUS_ONLY)[0])


@functools.cache
def cpu_operations():
    """The operations that have kernels for CPUs only."""
    return _operations(_text("operations.def").partition(_CPUS_ONLY)[2])


def _operations(text):
    found = {}
    for macro, arguments in _calls(text):
        if macro == "OPERATION":
            name, kernel, attributes, *_ = arguments
            attributes = frozenset(attributes.split(" | "))
            found[kernel] = Operation(name, attributes, {}, {})
        elif macro in ("INPUT", "OUTPUT"):
            name, extent = arguments
            tensors = found[kernel].inputs
            if macro == "OUTPUT":
                tensors = found[kernel].outputs
            tensors[name] = extent
    return found


def _text(file):
    return (FOLDER / file).read_text()


def _calls(text):
    """(macro, arguments) of each line that begins with a macro of a list."""
    for match in re.finditer(r"^ *KERAS_NORMS_(\w+)\(", text, re.MULTILINE):
        yield match[1], _arguments(text, match.end())


def _arguments(text, start):
    """The arguments of a macro, up to the parenthesis that closes it."""
    depth, arguments = 0, [""]
    for character in text[start:]:
        if character == ")" and depth == 0:
            break
        if character == "," and depth == 0:
            arguments.append("")
            continue
        depth += (character == "(") - (character == ")")
        arguments[-1] += character
    return [" ".join(argument.split()) for argument in arguments]
