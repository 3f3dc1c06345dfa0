"""The kernels by ctypes: tf_ops/cuda/plain.h for Python."""

import collections
import ctypes
import functools
import os
import pathlib
import re
import subprocess
import sys

from tf_ops.cuda import nvrtc

SOURCES = pathlib.Path(__file__).parents[2] / "tf_ops"
LIBRARY = SOURCES / "build" / "gpu" / "libkeras_norms_gpu.so"

TYPES = {"float32": 0, "float16": 2, "bfloat16": 3}
ACTIVATIONS = (
    *("identity", "relu", "silu", "gelu", "gelu_tanh", "leaky_relu"),
    *("sigmoid", "tanh"),
)

# x as the kernels see it; inner is 1 for channels last.
View = collections.namedtuple("View", "rows outer channels inner")


class Call(ctypes.Structure):
    """KerasNormsCall."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("stream", "scratch")),
        ("scratch_bytes", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in View._fields),
        *((n, ctypes.c_int64) for n in ("type", "function", "groups")),
        ("epsilon", ctypes.c_double),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("x", "dy", "mask", "center", "scale", "shift", "b", "d"),
                *("gamma", "beta", "result", "count", "mean", "variance"),
                *("residual", "inverse", "sum", "product"),
                *("d_gamma", "d_beta"),
            )
        ),
    )


class Kernels:
    """The kernels on arrays of a `memory`.

    Each takes a view, a type and, by the names of KerasNormsCall, arrays; what
    is not named is null.

    Args:
        memory: one of those in memory.py.
        path: the library.
        grows: whether kernels that ask for more scratch get it.
    """

    def __init__(self, memory, path=LIBRARY, grows=True):
        self.memory = memory
        self.grows = grows
        self._run = ctypes.CDLL(str(path)).keras_norms_run
        self._run.argtypes = [ctypes.c_char_p, ctypes.POINTER(Call)]
        self._run.restype = ctypes.c_char_p
        self.forget()

    def forget(self):
        """No kernel finds in its scratch what one before it has left."""
        self.scratch = self.memory.poisoned(0)

    def prepared(
        self,
        kernel,
        view,
        dtype,
        function="identity",
        groups=1,
        epsilon=0.0,
        **arrays,
    ):
        """What launches a kernel, each time that it is called."""
        name, memory = kernel.encode(), self.memory
        call = Call(
            **view._asdict(),
            type=TYPES[dtype],
            function=ACTIVATIONS.index(function),
            groups=groups,
            epsilon=epsilon,
            **{
                name: memory.address(array)
                for name, array in arrays.items()
                if array is not None
            },
        )

        def attempt():
            call.stream = memory.stream
            call.scratch = memory.address(self.scratch)
            call.scratch_bytes = self.scratch.nbytes
            return self._run(name, call)

        def launch():
            wrong = attempt()
            short = self.grows and wrong and _SHORT.fullmatch(wrong)
            if short:
                self.scratch = memory.poisoned(int(short[1]))
                wrong = attempt()
            if wrong:
                raise RuntimeError(wrong.decode())

        # As long as it may be called, what it has addresses of is there.
        launch.arrays = arrays
        return launch

    def run(self, *what, **how):
        self.prepared(*what, **how)()

    moments = functools.partialmethod(run, "moments")
    apply = functools.partialmethod(run, "apply")
    gradient_sums = functools.partialmethod(run, "gradient_sums")
    gradient_combine = functools.partialmethod(run, "gradient_combine")
    group_norm = functools.partialmethod(run, "group_norm")
    group_norm_gradient = functools.partialmethod(run, "group_norm_gradient")


_SHORT = re.compile(rb"no memory for (\d+) bytes of sums")


def build(target="gpu", library=LIBRARY):
    """Has make see to a library; what became of it.

    Without NVRTC make would leave out the kernels.
    """
    failed = "no NVRTC" if nvrtc.library() is None else _made(target)
    if not failed:
        return f"{library.name}: built from these sources"
    if not library.exists():
        raise RuntimeError(f"{library.name} cannot be built: {failed}")
    return f"{library.name}: NOT built, but there already: {failed}"


def _made(target):
    """What went wrong, or nothing."""
    command = ["make", f"-j{os.cpu_count()}", "-C", SOURCES, target]
    command.append(f"PYTHON={sys.executable}")
    try:
        made = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        return str(error)
    return made.returncode and made.stderr.decode()[-2000:]
