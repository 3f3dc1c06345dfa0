"""The C++ compiler: the commands that compile and link the libraries."""

import os
import platform
import shutil
import subprocess

from keras_norms.native import cache
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import raising_unusable

FLAGS = (
    *("-O3", "-std=c++17", "-fPIC", "-DNDEBUG", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-Wno-deprecated-declarations"),
)
# The kernels are compiled for each instruction set, and selected at run time,
# so that one binary serves all processors.
ISAS = {
    "x86_64": {
        "Baseline": ("-march=x86-64",),
        "Avx2": ("-march=x86-64-v3",),
        "Avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    }
}
OTHER_ISAS = {"Baseline": ()}
# The libraries of TensorFlow that each library is linked with.
NEEDED = {
    cache.LIBRARY: ("libtensorflow_framework.so.2",),
    cache.XLA_LIBRARY: (
        "libtensorflow_framework.so.2",
        "libtensorflow_cc.so.2",
    ),
}


def find_compiler():
    """Returns the path of the C++ compiler.

    Raises: `UnusableError` if there is none.
    """
    name = os.environ.get("CXX", "g++")
    path = shutil.which(name)
    if path is None:
        raise UnusableError(
            f"The C++ compiler {name} is not found. Install g++ 11 or later "
            "(`apt install g++`), or set CXX to another compiler."
        )
    return path


def version(compiler):
    result = _execute([compiler, "--version"])
    return result.stdout.partition("\n")[0]


def run(command):
    """Runs a command.

    Raises: `UnusableError`, with the command's output, if it fails.
    """
    result = _execute(command)
    if result.returncode:
        raise UnusableError(
            f"The compiler failed ({result.returncode}).\n$ "
            f"{' '.join(command)}\n{result.stdout}{result.stderr}"
        )


def _execute(command):
    with raising_unusable(
        f"{command[0]} cannot be run",
        "Install g++ 11 or later (`apt install g++`), or set CXX to another "
        "compiler.",
    ):
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            # Compilers print sources and paths, which may have any encoding.
            errors="replace",
            check=False,
        )


def library_objects(xla):
    """`{library: {object file: (source, flags)}}`, the slowest ones first."""
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
    xla_objects = {
        # It only builds graphs. Optimization would double its compile time.
        "lowering": ("xla/lowering.cc", (*_tensorflow(xla=True), "-O0")),
        "handlers": ("xla/handlers.cc", _tensorflow(xla=True)),
    }
    tensorflow_objects = {
        "operations": ("tensorflow/ops.cc", _tensorflow()),
        "tensorflow": ("tensorflow/kernels.cc", _tensorflow()),
    }
    # Both libraries contain the kernels, which do not depend on TensorFlow.
    libraries = {cache.XLA_LIBRARY: xla_objects | kernels} if xla else {}
    return libraries | {cache.LIBRARY: tensorflow_objects | kernels}


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


def compile_command(compiler, source, flags, target):
    """The command that compiles a source to an object file."""
    path = str(cache.sources() / source)
    return [compiler, *FLAGS, *flags, "-c", path, "-o", str(target)]


def link(compiler, objects, target):
    """Links object files to a library."""
    import tensorflow as tf

    needed = [f"-l:{name}" for name in NEEDED[target.name]]
    if platform.system() == "Darwin":
        needed = ["-undefined", "dynamic_lookup"]
    search_path = f"-L{tf.sysconfig.get_lib()}"
    output = ["-shared", "-o", str(target)]
    inputs = map(str, objects)
    run([compiler, *output, *inputs, search_path, *needed, "-ldl"])
