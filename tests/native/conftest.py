"""The tests of the native library share these installations."""

import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import pytest

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import cache
from keras_norms.native import compiler
from tests.support.installations import Place
from tests.support.installations import forget


@pytest.fixture(scope="module")
def imported():
    """What a first call imports, which nobody may be unable to read."""
    with ops.using_native("never"):
        layers.InstanceNormalization()(np.ones((2, 5, 4), "float32"))


@pytest.fixture
def place(monkeypatch, imported):
    # pytest's own folders cannot be searched by other users.
    with tempfile.TemporaryDirectory() as base:
        folder = pathlib.Path(base) / "cache"
        os.chmod(base, 0o755)
        folder.mkdir(mode=0o755)
        monkeypatch.setenv("KERAS_NORMS_CACHE", str(folder))
        monkeypatch.setenv("KERAS_NORMS_NATIVE", "auto")
        loaded = sys.modules["_keras_norms_loaded"]
        monkeypatch.setitem(vars(loaded), "libraries", {})
        forget()
        yield Place(folder, monkeypatch)
        monkeypatch.undo()
        forget()


@pytest.fixture
def copied(tmp_path):
    """A folder with a copy of the library, and the library's path in it."""
    place = tmp_path / "cache" / cache.key()
    shutil.copytree(cache.folder(), place)
    place.parent.chmod(0o700)
    return place / cache.LIBRARY


def touch(command):
    """Creates the requested output file, empty, without compiling."""
    pathlib.Path(command[command.index("-o") + 1]).touch()


@pytest.fixture
def empty_builds(monkeypatch):
    monkeypatch.setattr(compiler, "find_compiler", lambda: "c++")
    monkeypatch.setattr(compiler, "version", lambda _: "none")
    monkeypatch.setattr(compiler, "run", touch)
