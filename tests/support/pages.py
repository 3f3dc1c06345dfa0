"""Reads and runs the Python examples of the Markdown pages."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]


def blocks(path):
    """The blocks of Python of a page."""
    text = (ROOT / path).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(source, name):
    # A class finds its module by name.
    namespace = {"__name__": name}
    exec(compile(source, name, "exec"), namespace)
    return namespace
