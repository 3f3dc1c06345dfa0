"""Checks of optional packages."""

import importlib.util


def installed(argument, module, name):
    """Checks that the package that an argument needs is installed."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(
            f"`{argument}` needs {name}. Received: `{argument}` without the "
            f"package. Run `pip install {module}`, or omit the argument."
        )
