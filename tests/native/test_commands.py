"""The commands end with a message where they cannot run."""

import pytest

from tests.support import processes
from tests.support.installations import command


@pytest.mark.parametrize("name", ["info", "benchmark"])
def test_commands_with_an_unknown_mode(name, place, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_NORMS_NATIVE", "on")
    _, code = command(monkeypatch, capsys, name)
    assert "KERAS_NORMS_NATIVE must be one of ['auto', " in code


# TensorFlow is not found, and JAX, of which Keras's NumPy backend imports
# what it does not use here, is anything.
WITHOUT_TENSORFLOW = """
import importlib.machinery, sys, unittest.mock

class Finder:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if package == "jax":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return unittest.mock.MagicMock(__path__=[], __version__="0")

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
import numpy as np
import keras_norms
from keras_norms import __main__

y = keras_norms.layers.InstanceNormalization()(np.ones((2, 3, 4)))
np.testing.assert_array_equal(y, np.zeros((2, 3, 4)))
for command in ("info", "build", "benchmark"):
    sys.argv = ["keras_norms", command]
    try:
        __main__.main()
    except SystemExit as end:
        print(f"{command}: {end.code}")
"""


def test_without_tensorflow(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    lines = processes.run("-c", WITHOUT_TENSORFLOW).splitlines()
    none = (
        "The native library needs TensorFlow, which cannot be imported: No "
        "module named 'tensorflow' (ModuleNotFoundError). Install it with "
        "`pip install keras-norms[cpu]`, or with `pip install "
        "keras-norms[gpu]` for NVIDIA GPUs on Linux."
    )
    unused = "not used, because the backend of Keras is numpy"
    assert lines[2:] == [
        f"tensorflow unusable. {none}",
        "KERAS_NORMS_NATIVE=auto",
        f"native library, eager and graph mode: {unused}",
        f"native library, under XLA: {unused}",
        f"GPU kernels of the library: unusable. {none}",
        f"folder of the library: unusable. {none}",
        f"build: {none}",
        "benchmark: The benchmark needs the TensorFlow backend of Keras. "
        "Received: the backend numpy. Set KERAS_BACKEND=tensorflow.",
    ]
