"""The kernels by ctypes: tf_ops/cuda/c_api.h for Python."""

import collections
import ctypes
import functools
import os
import pathlib
import re
import subprocess
import sys

from tf_ops.contract import definitions
from tf_ops.cuda import nvrtc

SOURCES = pathlib.Path(__file__).parents[2] / "tf_ops"
LIBRARY = SOURCES / "build" / "gpu" / "libkeras_norms_gpu.so"

TYPES = {"float32": 0, "float16": 2, "bfloat16": 3}
ACTIVATIONS = tuple(definitions.activations())
# {kernel: (inputs, outputs, attributes)}, as the contract has them, but that
# the output like x, which it calls y or dx, is `result` here.
OPERATIONS = {
    kernel: (
        tuple(operation.inputs),
        tuple(
            "result" if extent == "kLikeX" else name
            for name, extent in operation.outputs.items()
        ),
        operation.attributes,
    )
    for kernel, operation in definitions.operations().items()
}

# x as the kernels see it; inner is 1 for channels last.
View = collections.namedtuple("View", "rows outer channels inner")


class Call(ctypes.Structure):
    """KerasNormsCall."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("stream", "scratch")),
        ("scratch_bytes", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in View._fields),
        *((n, ctypes.c_int64) for n in ("type", "activation", "groups")),
        ("epsilon", ctypes.c_double),
        ("tensors", ctypes.POINTER(ctypes.c_void_p)),
        ("tensor_count", ctypes.c_int64),
    )


@functools.cache
def scratch_bytes(path, kernel, view, dtype, groups):
    """The bytes of scratch memory that a kernel needs at most."""
    function = ctypes.CDLL(str(path)).keras_norms_scratch_bytes
    function.argtypes = [ctypes.c_char_p, ctypes.POINTER(Call)]
    function.restype = ctypes.c_int64
    call = Call(**view._asdict(), type=TYPES[dtype], groups=groups)
    return function(kernel.encode(), call)


class Kernels:
    """The kernels on arrays of a `memory`.

    Each takes a view, a type and, by the names of OPERATIONS, arrays; what is
    not named is null.

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
        memory = self.memory
        inputs, outputs, _ = OPERATIONS.get(kernel, ((), (), ()))
        tensors = [arrays.get(name) for name in (*inputs, *outputs)]
        addresses = [None if a is None else memory.address(a) for a in tensors]
        call = Call(
            **view._asdict(),
            type=TYPES[dtype],
            activation=ACTIVATIONS.index(function),
            groups=groups,
            epsilon=epsilon,
            tensors=(ctypes.c_void_p * len(tensors))(*addresses),
            tensor_count=len(tensors),
        )

        def attempt():
            call.stream = memory.stream
            call.scratch = memory.address(self.scratch)
            call.scratch_bytes = self.scratch.nbytes
            return self._run(kernel.encode(), call)

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

    def __getattr__(self, kernel):
        if kernel not in OPERATIONS:
            raise AttributeError(kernel)
        return functools.partial(self.run, kernel)


_SHORT = re.compile(rb"There is no memory for (\d+) bytes of partial sums.")


def build(target="gpu", library=LIBRARY):
    """Has make see to a library; what became of it.

    Without NVRTC make would leave out the kernels.
    """
    failed = "no NVRTC" if nvrtc.library() is None else _make(target)
    if not failed:
        return f"{library.name}: built from these sources"
    if not library.exists():
        raise RuntimeError(f"{library.name} cannot be built: {failed}")
    return f"{library.name}: NOT built, but there already: {failed}"


def _make(target):
    """Builds a target. The result is the error, or a false value."""
    command = ["make", f"-j{os.cpu_count()}", "-C", SOURCES, target]
    command.append(f"PYTHON={sys.executable}")
    try:
        completed = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        return str(error)
    return completed.returncode and completed.stderr.decode()[-2000:]
