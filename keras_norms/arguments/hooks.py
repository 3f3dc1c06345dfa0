"""The names of parameters that the methods of a layer ask for."""

import functools
import inspect


def named_parameters(hook, positional, known):
    """Refuses a hook that asks for a parameter which the layer has not.

    With a default, or with `**others` beside it, a misspelt name would be
    left at its default without a word.

    Args:
        hook: a method to which parameters are passed by name.
        positional: how many tensors are passed to it by position.
        known: the names of the layer's parameters.
    """
    function = getattr(hook, "__func__", hook)
    bound = function is not hook
    asked = _names(function, bound + positional)
    unknown = [name for name in asked if name not in known]
    if unknown:
        name = getattr(function, "__qualname__", type(function).__name__)
        raise ValueError(
            f"`{name}` may ask by name for the layer's parameters only, "
            f"{sorted(known)}. Received: {unknown}. Correct the name, or add "
            "the tensor to the property `parameters`."
        )


@functools.cache
def _names(function, positional):
    """The names of a function's arguments after so many."""
    if not inspect.isfunction(function):
        return ()
    kinds = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in kinds][positional:]
