"""Compiles tf_ops for the TensorFlow that is installed."""

import concurrent.futures
import os
import pathlib
import tempfile
import time

from keras_norms.library import cache
from keras_norms.library import compiler
from keras_norms.library import images
from keras_norms.library import manifest
from keras_norms.library.errors import UnusableError
from keras_norms.library.errors import explained


def build(force=False, xla=True, gpus=True, show=print):
    """Builds the library, or finds that it is built.

    Arguments:
        force: whether to build what is there already.
        xla: whether XLA's part is built too: it takes longest.
        gpus: whether kernels for GPUs are, where there is NVRTC.
        show: called with lines of progress.

    Returns: the folder of the libraries.

    Raises: `UnusableError` without a compiler, with what the compiler said, or
        where the folder cannot be written.
    """
    place = cache.folder()
    with explained(
        f"The native library cannot be built in {place}",
        "Let this user write there and see that the disk is not full, or "
        f"{cache.OWN_FOLDER}",
    ):
        _build(place, force, xla, gpus, show)
    return place


def _build(place, force, xla, gpus, show):
    gpus = gpus and images.possible()
    if not force and _built(place, xla, gpus):
        show(f"built already: {place}")
        return
    start = time.perf_counter()
    cxx = compiler.found()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(
        dir=place.parent,
        prefix="new-",
        # What was there before may be another user's.
        ignore_cleanup_errors=True,
    ) as aside:
        aside = pathlib.Path(aside)
        made = aside / "made"
        made.mkdir(mode=0o700)
        _make(cxx, aside, made, xla, gpus, show)
        served = images.made(aside)
        manifest.record(made, compiler=compiler.version(cxx), gpus=served)
        _put(made, place, aside)
    cache.gpus.cache_clear()
    show(
        f"kernels for GPUs: {', '.join(served)}"
        if served
        else "no kernels for GPUs; they take NVRTC, `pip install "
        "nvidia-cuda-nvrtc-cu12`"
    )
    show(f"built in {time.perf_counter() - start:.0f} s: {place}")


def _built(place, xla, gpus):
    """Whether all that is asked for is there."""
    try:
        for name in compiler.NEEDED if xla else (cache.LIBRARY,):
            cache.found(name)
        return bool(manifest.read(place).gpus) or not gpus
    except UnusableError:
        return False


def _make(cxx, aside, made, xla, gpus, show):
    """The libraries in one folder, of what another takes in on the way."""
    libraries = compiler.parts(xla)
    commands = {
        name: compiler.object_file(cxx, *part, _object(aside, name))
        for parts in libraries.values()
        for name, part in parts.items()
    }
    if gpus:
        commands |= images.commands(aside)
    else:
        images.leave_out(aside)
    _run_all(commands, show)
    source = "cuda/cubins.S"
    target = _object(aside, "images")
    compiler.run(compiler.object_file(cxx, source, ["-I", str(aside)], target))
    for library, parts in libraries.items():
        objects = [_object(aside, name) for name in (*parts, "images")]
        compiler.link(cxx, objects, made / library)
    images.report(aside, made / "gpu_resources.csv")


def _object(aside, name):
    return aside / f"{name}.o"


def _run_all(commands, show):
    """As many at once as there are processors; the first failure ends it."""
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


def _put(made, place, aside):
    """Whole, or not at all: another process may build or load at once."""
    try:
        made.rename(place)
    except OSError:
        # An older build is there, or another process was faster.
        place.rename(aside / "old")
        made.rename(place)
