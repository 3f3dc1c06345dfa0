"""Compiles tf_ops for the installed version of TensorFlow."""

import concurrent.futures
import os
import pathlib
import tempfile
import time

from keras_norms.native import cache
from keras_norms.native import compiler
from keras_norms.native import cubins
from keras_norms.native import manifest
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import raising_unusable


def build(force=False, xla=True, gpus=True, show=print):
    """Builds the native library, unless it is built already.

    Args:
        force: whether to build a library that is built already.
        xla: whether to build the library of XLA too, which takes longest.
        gpus: whether to build the kernels for GPUs, if NVRTC is installed.
        show: a function that is called with each line of progress.

    Returns: the folder of the libraries.

    Raises: `UnusableError` if there is no compiler, if the compiler fails
        (with its messages), or if the folder cannot be written.
    """
    folder = cache.folder()
    with raising_unusable(
        f"The native library cannot be built in {folder}",
        "Let this user write there, free disk space if the disk is full, or "
        f"{cache.OWN_FOLDER}",
    ):
        _build(folder, force, xla, gpus, show)
    return folder


def _build(folder, force, xla, gpus, show):
    gpus = gpus and cubins.has_nvrtc()
    if not force and _is_built(folder, xla, gpus):
        show(f"The native library is built already: {folder}")
        return
    start = time.perf_counter()
    cxx = compiler.find_compiler()
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(
        dir=folder.parent,
        prefix="new-",
        # An older build, which is moved into it, may be another user's.
        ignore_cleanup_errors=True,
    ) as scratch:
        scratch = pathlib.Path(scratch)
        libraries = scratch / "libraries"
        libraries.mkdir(mode=0o700)
        _compile(cxx, scratch, libraries, xla, gpus, show)
        architectures = cubins.compiled(scratch)
        manifest.record(
            libraries, compiler=compiler.version(cxx), gpus=architectures
        )
        _install(libraries, folder, scratch)
    cache.gpus.cache_clear()
    show(
        f"The library has kernels for GPUs: {', '.join(architectures)}"
        if architectures
        else "The library has no kernels for GPUs. They need NVRTC: `pip "
        "install nvidia-cuda-nvrtc-cu12`."
    )
    show(f"Built in {time.perf_counter() - start:.0f} s: {folder}")


def _is_built(folder, xla, gpus):
    """Whether the folder holds all requested libraries and kernels."""
    try:
        for name in compiler.NEEDED if xla else (cache.LIBRARY,):
            cache.find_library(name)
        return bool(manifest.read(folder).gpus) or not gpus
    except UnusableError:
        return False


def _compile(cxx, scratch, target, xla, gpus, show):
    """Compiles the libraries into `target`, with objects in `scratch`."""
    libraries = compiler.library_objects(xla)
    commands = {
        name: compiler.compile_command(cxx, *unit, _object(scratch, name))
        for units in libraries.values()
        for name, unit in units.items()
    }
    if gpus:
        commands |= cubins.commands(scratch)
    else:
        cubins.write_empty(scratch)
    _run_all(commands, show)
    source = "cuda/cubins.S"
    object_file = _object(scratch, "cubins")
    include = ["-I", str(scratch)]
    compiler.run(compiler.compile_command(cxx, source, include, object_file))
    for library, units in libraries.items():
        objects = [_object(scratch, name) for name in (*units, "cubins")]
        compiler.link(cxx, objects, target / library)
    cubins.write_resources(scratch, target / "gpu_resources.csv")


def _object(scratch, name):
    return scratch / f"{name}.o"


def _run_all(commands, show):
    """Runs one command per processor at a time, until the first failure."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            pool.submit(compiler.run, command): name
            for name, command in commands.items()
        }
        try:
            done = concurrent.futures.as_completed(runs)
            for count, run in enumerate(done, 1):
                run.result()
                show(f"[{count}/{len(runs)}] {runs[run]}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _install(libraries, folder, scratch):
    """Renames the new folder, because others may build or load meanwhile."""
    try:
        libraries.rename(folder)
    except OSError:
        # An older build is there, or another process was faster.
        folder.rename(scratch / "old")
        libraries.rename(folder)
