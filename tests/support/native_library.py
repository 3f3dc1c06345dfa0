"""These helpers run layers with the native library and without it."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import ops
from keras_norms.native import loader
from tests.support.processes import ROOT

# Where there is a compiler there must be a library: `make native`.
built = pytest.mark.skipif(
    bool(loader.unusable_reason()) and shutil.which("g++") is None,
    reason="no compiler to build the native library with",
)
NOT_BUILT = (
    "The native library has not been built for this version of TensorFlow. "
    "Build it with `python -m keras_norms build`."
)
SLOWER = (
    "keras_norms is running without its native library and will be slower. "
)
NO_MORE = " Set KERAS_NORMS_NATIVE=never to silence this warning."
# The architectures that a library has kernels for in tests of GPUs.
SERVED = ["sm_70", "sm_86", "sm_90", "compute_90"]
X = np.random.default_rng(0).normal(3, 2, (5, 6, 7, 12)).astype("float32")


def operations(function, *arguments):
    """The native operations in the graph of a function, or `tf.function`."""
    traced = function
    if not hasattr(function, "get_concrete_function"):
        traced = tf.function(function)
    traced(*arguments)
    graph = traced.get_concrete_function(*arguments).graph
    names = (operation.type for operation in graph.get_operations())
    return sorted(n.partition(">")[2] for n in names if "KerasNorms>" in n)


def both_ways(function):
    """What a function gives by the library, and without it."""
    found = []
    for mode in ("always", "never"):
        with ops.using_native(mode):
            found.append(np.array(function(), "float64"))
    return found


# Scripts run in separate processes, because a loaded library stays loaded.
HEAD = """
import os, sys, warnings
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(
    int(os.environ.get("THREADS", "2")))
import keras_norms
from keras_norms import layers, ops
from keras_norms.native import loader
x = tf.constant(np.random.default_rng(0).normal(size=(4, 9, 8)), "float32")
layer = layers.GroupNormalization(groups=2)
def native(function, *arguments):
    traced = tf.function(function)
    traced(*arguments)
    graph = traced.get_concrete_function(*arguments).graph
    return any("KerasNorms>" in o.type for o in graph.get_operations())
"""


def process(code, **environment):
    """What a process printed that ran HEAD, then code."""
    result = subprocess.run(
        [sys.executable, "-c", HEAD + code],
        cwd=ROOT,
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_NORMS_NATIVE": "auto",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
