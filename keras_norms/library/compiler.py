"""The C++ compiler, and what makes each object file of the libraries."""

import os
import platform
import shutil
import subprocess

from keras_norms.library import cache
from keras_norms.library.errors import UnusableError
from keras_norms.library.errors import explained

FLAGS = (
    *("-O3", "-std=c++17", "-fPIC", "-DNDEBUG", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-Wno-deprecated-declarations"),
)
# One binary for all processors: the kernels once for each instruction set.
ISAS = {
    "x86_64": {
        "Baseline": ("-march=x86-64",),
        "Avx2": ("-march=x86-64-v3",),
        "Avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    }
}
OTHER_ISAS = {"Baseline": ()}
# What each library is linked with, of TensorFlow.
NEEDED = {
    cache.LIBRARY: ("libtensorflow_framework.so.2",),
    cache.XLA_LIBRARY: (
        "libtensorflow_framework.so.2",
        "libtensorflow_cc.so.2",
    ),
}


def found():
    """The compiler's path.

    Raises: `UnusableError` where there is none.
    """
    named = os.environ.get("CXX", "g++")
    path = shutil.which(named)
    if path is None:
        raise UnusableError(
            f"No C++ compiler: {named} is not found. Install g++ 11 or later "
            "(`apt install g++`), or have CXX name another."
        )
    return path


def version(compiler):
    said = _said([compiler, "--version"])
    return said.stdout.partition("\n")[0]


def run(command):
    """Raises: `UnusableError` with what a command that failed has said."""
    said = _said(command)
    if said.returncode:
        raise UnusableError(
            f"The compiler failed ({said.returncode}).\n$ "
            f"{' '.join(command)}\n{said.stdout}{said.stderr}"
        )


def _said(command):
    with explained(
        f"{command[0]} cannot be run",
        "Install g++ 11 or later (`apt install g++`), or have CXX name "
        "another compiler.",
    ):
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            # Compilers quote sources and paths, which may have any encoding.
            errors="replace",
            check=False,
        )


def parts(xla):
    """{library: {object file: (source, its own flags)}}, slowest first."""
    kernels = {
        "cache_size": ("cpu/cache_size.cc", ()),
        "dispatch": ("cpu/dispatch.cc", ()),
        "launch": ("cuda/launch.cc", ()),
        "driver": ("cuda/driver.cc", ()),
    }
    isas = ISAS.get(platform.machine(), OTHER_ISAS)
    for name, flags in isas.items():
        flags = (*flags, f"-DKERAS_NORMS_ISA={name}")
        kernels[name] = ("cpu/isa.cc", flags)
    of_xla = {
        # It only builds graphs: optimized, it takes twice as long.
        "lowering": ("xla/lowering.cc", (*_tensorflow(xla=True), "-O0")),
        "handlers": ("xla/handlers.cc", _tensorflow(xla=True)),
    }
    of_tensorflow = {
        "operations": ("tensorflow/ops.cc", _tensorflow()),
        "tensorflow": ("tensorflow/kernels.cc", _tensorflow()),
    }
    # The kernels, which hold nothing of TensorFlow, are in both.
    libraries = {cache.XLA_LIBRARY: of_xla | kernels} if xla else {}
    return libraries | {cache.LIBRARY: of_tensorflow | kernels}


def _tensorflow(xla=False):
    import tensorflow as tf

    include = tf.sysconfig.get_include()
    folders = [include]
    if xla:
        folders.append(f"{include}/external/highwayhash")
        folders.append(f"{include}/external/farmhash_archive/src")
    flags = [f for f in tf.sysconfig.get_compile_flags() if f[:2] != "-I"]
    for folder in folders:
        flags += ["-isystem", folder]
    return flags


def object_file(compiler, source, flags, target):
    """The command that makes one."""
    path = str(cache.sources() / source)
    return [compiler, *FLAGS, *flags, "-c", path, "-o", str(target)]


def link(compiler, objects, target):
    """Makes a library of object files."""
    import tensorflow as tf

    needed = [f"-l:{name}" for name in NEEDED[target.name]]
    if platform.system() == "Darwin":
        needed = ["-undefined", "dynamic_lookup"]
    place = f"-L{tf.sysconfig.get_lib()}"
    made = ["-shared", "-o", str(target), *map(str, objects)]
    run([compiler, *made, place, *needed, "-ldl"])
