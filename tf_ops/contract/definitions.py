"""The lists of this folder, for Python: activations and operations."""

import collections
import functools
import pathlib
import re

FOLDER = pathlib.Path(__file__).parent

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
    calls = _calls("activations.def")
    found = [Activation(*arguments) for _, arguments in calls]
    return {each.name: each for each in found}


@functools.cache
def operations():
    """The operations by the names of their kernels, such as "moments"."""
    found = {}
    for macro, arguments in _calls("operations.def"):
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


def _calls(file):
    """(macro, arguments) of each line that begins with a macro of a list."""
    text = (FOLDER / file).read_text()
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
