"""The sources keep the rules of CONTRIBUTING.md."""

import ast
import configparser
import importlib

import pytest

from tests.support import processes
from tests.support.sources import ROOT
from tests.support.sources import source_files

PACKAGE = ROOT / "keras_norms"
SOURCES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]

# What Keras cannot say: replicas, the way a graph is run, and a gradient that
# keeps x alone.
NAME_TENSORFLOW = {
    "callbacks/summaries.py",
    "engine/affine_norm.py",
    "engine/autodiff.py",
    "engine/backend.py",
    "engine/fused_norm.py",
    "engine/native_backend.py",
    "engine/native_depthwise.py",
    "statistics/replicas.py",
    "validation/activations.py",
    "native/cache.py",
    "native/compiler.py",
    "native/differentiation.py",
    "native/dispatch.py",
    "native/gpus.py",
    "native/gradients.py",
    "native/loader.py",
    "native/ops.py",
    "native/tracing.py",
    "__main__.py",
    "_requirements.py",
    "benchmark.py",
}
PRIVATE_TENSORFLOW = {"native/differentiation.py", "native/tracing.py"}
# The modules that build the native library, which only a build needs.
BUILD_MODULES = ("build", "compiler", "cubins")


def inside(path):
    return path.relative_to(PACKAGE).as_posix()


def imported(path):
    """The full names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


every_source = pytest.mark.parametrize("path", SOURCES, ids=IDS)


@every_source
def test_nothing_private_is_imported(path):
    names = list(imported(path))
    assert not [name for name in names if name.startswith("keras.src")]
    private = [n for n in names if n.startswith("tensorflow.python")]
    assert not private or inside(path) in PRIVATE_TENSORFLOW


@every_source
def test_tensorflow_is_named_only_where_it_must_be(path):
    names = [n for n in imported(path) if n.split(".")[0] == "tensorflow"]
    assert not names or inside(path) in NAME_TENSORFLOW


@pytest.mark.parametrize(
    "name",
    [
        path.relative_to(ROOT).as_posix()
        for path in source_files(".py", ".h", ".cc", ".cu")
    ],
)
def test_files_are_short(name):
    lines = (ROOT / name).read_text().splitlines()
    assert len(lines) <= 250


def test_statistics_are_imported_without_the_build():
    code = (
        "import sys\n"
        "from keras_norms.statistics.moments import Moments\n"
        "print(*sys.modules, sep='\\n')"
    )
    loaded = processes.run("-c", code).splitlines()
    assert "keras_norms.statistics.moments" in loaded
    for name in BUILD_MODULES:
        module = importlib.import_module(f"keras_norms.native.{name}")
        assert module.__name__ not in loaded


@every_source
def test_a_file_defines_at_most_one_layer(path):
    if path.parent.name != "layers":
        return
    classes = [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert len(classes) <= 1


def test_every_package_is_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    folders = [path.parent for path in SOURCES if path.name == "__init__.py"]
    names = [".".join(f.relative_to(ROOT).parts) for f in folders]
    assert sorted(listed) == sorted([*names, "keras_norms.tf_ops"])


def test_every_module_says_what_it_is_for():
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
        documented = [n for n in [tree, *classes] if ast.get_docstring(n)]
        assert documented or not tree.body[1:], path
