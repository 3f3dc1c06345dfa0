"""XLA's handlers of the kernels, called from JAX.

    call("group_norm", x=x, gamma=gamma, beta=beta, axis=3, groups=32, ...)

is a function of JAX as any other, on the platform that x is on.
"""

import ctypes
import math
import os

# Not all of the GPU's memory is for JAX.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.ffi
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.library import ACTIVATIONS
from benchmarks.gpu.library import OPERATIONS
from benchmarks.gpu.library import SOURCES
from benchmarks.gpu.library import View
from benchmarks.gpu.library import scratch_bytes

LIBRARY = SOURCES / "build" / "jax" / "libkeras_norms_jax.so"


def register():
    library = ctypes.CDLL(str(LIBRARY))
    for name in OPERATIONS:
        name = f"keras_norms_{name}"
        for platform, ending in (("cpu", ""), ("CUDA", "_cuda")):
            handler = jax.ffi.pycapsule(getattr(library, name + ending))
            jax.ffi.register_ffi_target(name, handler, platform=platform)


def call(
    kernel, *, axis, function="identity", groups=1, epsilon=0.0, **inputs
):
    """The results of a kernel by their names; rows are x's examples.

    Args:
        axis: of the channels.
        inputs: arrays by name. An absent array, or None, means no tensor.
    """
    arguments, results, attributes = OPERATIONS[kernel]
    x = inputs["x"]
    channels = x.shape[axis]
    wide = (len(x), groups) if "kGroups" in attributes else (len(x), channels)
    shapes = {
        "count": (len(x),),
        "d_gamma": (channels,),
        "d_beta": (channels,),
    }
    none = {"mask": jnp.zeros(0, "uint8")}
    optional = {
        "kExamples": {"examples": np.int64(1)},
        "kGroups": {
            "groups": np.int64(groups),
            "epsilon": np.float64(epsilon),
        },
        "kActivation": {"activation": np.int64(ACTIVATIONS.index(function))},
    }
    sizes = x.shape
    view = View(
        len(x),
        math.prod(sizes[1:axis]),
        channels,
        math.prod(sizes[axis + 1 :]),
    )
    scratch = scratch_bytes(LIBRARY, kernel, view, x.dtype.name, groups)
    *found, _ = jax.ffi.ffi_call(
        f"keras_norms_{kernel}",
        [
            jax.ShapeDtypeStruct(x.shape, x.dtype)
            if name == "result"
            else jax.ShapeDtypeStruct(shapes.get(name, wide), "float32")
            for name in results
        ]
        + [jax.ShapeDtypeStruct((scratch,), "uint8")],
    )(
        *(
            none.get(name, jnp.zeros(0, "float32"))
            if inputs.get(name) is None
            else inputs[name]
            for name in arguments
        ),
        axis=np.int64(axis),
        **{
            name: value
            for attribute, values in optional.items()
            if attribute in attributes
            for name, value in values.items()
        },
    )
    return dict(zip(results, found, strict=True))
