"""Compiles tf_ops for the TensorFlow that is installed."""

import concurrent.futures
import functools
import os
import pathlib
import platform
import runpy
import shutil
import subprocess
import sys
import tempfile
import time

from keras_norms.library import cache

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


def build(force=False, xla=True, gpus=True, show=print):
    """Builds the library, or finds that it is built.

    Arguments:
        force: whether to build what is there already.
        xla: whether XLA's part is built too: it takes longest.
        gpus: whether kernels for GPUs are, where there is NVRTC.
        show: called with lines of progress.

    Returns: the folder of the libraries.

    Raises: `UnusableError` without a compiler, or with what the compiler said.
    """
    place = cache.folder()
    gpus = gpus and _nvrtc()["library"]() is not None
    if not force and _built(place, xla, gpus):
        show(f"built already: {place}")
        return place
    start = time.perf_counter()
    compiler = _compiler()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="new-") as aside:
        aside = pathlib.Path(aside)
        made = aside / "made"
        made.mkdir(mode=0o700)
        served = _compile(compiler, aside, made, xla, gpus, show)
        cache.record(made, compiler=_version(compiler), gpus=served)
        _put(made, place, aside)
    cache.gpus.cache_clear()
    show(f"built in {time.perf_counter() - start:.0f} s: {place}")
    return place


def _built(place, xla, gpus):
    """Whether all that is asked for is there."""
    try:
        for name in _names(xla):
            cache.found(name)
    except cache.UnusableError:
        return False
    return bool(cache.manifest(place)["gpus"]) or not gpus


@functools.cache
def _nvrtc():
    """What `tf_ops/cuda/nvrtc.py` has: it needs nothing of the package."""
    return runpy.run_path(str(cache.sources() / "cuda" / "nvrtc.py"))


def _names(xla):
    return (cache.LIBRARY, cache.XLA_LIBRARY) if xla else (cache.LIBRARY,)


def _compiler():
    named = os.environ.get("CXX", "g++")
    found = shutil.which(named)
    if found is None:
        raise cache.UnusableError(
            f"No C++ compiler: {named} is not found. Install g++ 11 or later "
            "(`apt install g++`), or have CXX name another."
        )
    return found


def _version(compiler):
    said = subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, check=False
    )
    return said.stdout.partition("\n")[0]


def _isas():
    return ISAS.get(platform.machine(), OTHER_ISAS)


def _commands(compiler, aside, xla):
    """What makes each object file, by the library it goes into."""
    import tensorflow as tf

    tf_ops = cache.sources()
    include = tf.sysconfig.get_include()
    flags = [compiler, *FLAGS]
    of_tensorflow = [
        *(f for f in tf.sysconfig.get_compile_flags() if f[:2] != "-I"),
        *("-isystem", include),
    ]
    of_xla = []
    for part in ("highwayhash", "farmhash_archive/src"):
        of_xla += ["-isystem", f"{include}/external/{part}"]

    def command(library, source, name, more=()):
        target = aside / f"{name}.o"
        path = str(tf_ops / source)
        return library, target, [*flags, *more, "-c", path, "-o", str(target)]

    commands = [
        command(cache.LIBRARY, "tensorflow/ops.cc", "ops", of_tensorflow),
        command(cache.LIBRARY, "tensorflow/kernels.cc", "tf", of_tensorflow),
        command(cache.LIBRARY, "cpu/cache.cc", "cache"),
        command(cache.LIBRARY, "cpu/dispatch.cc", "dispatch"),
        command(cache.LIBRARY, "cuda/launch.cc", "launch"),
        command(cache.LIBRARY, "cuda/driver.cc", "driver"),
    ]
    for name, more in _isas().items():
        more = (*more, f"-DKERAS_NORMS_ISA={name}")
        commands.append(command(cache.LIBRARY, "cpu/isa.cc", name, more))
    if xla:
        for name in ("handlers", "lowering"):
            # It only builds graphs: optimized, it takes twice as long.
            level = ["-O0"] if name == "lowering" else []
            more = [*of_tensorflow, *of_xla, *level]
            made = command(
                cache.XLA_LIBRARY, f"xla/{name}.cc", f"xla_{name}", more
            )
            commands.insert(0, made)
    return commands


def _images(aside):
    """What makes the kernels for GPUs, for every architecture."""
    script = str(cache.sources() / "cuda" / "nvrtc.py")
    return {
        name: [sys.executable, script, name, str(aside / f"{name}.image")]
        for name in _nvrtc()["ARCHITECTURES"]
    }


def _report(aside, gpus, target):
    """What NVRTC says of the kernels: registers, shared memory, spills."""
    rows = ["architecture,kernel,registers,shared_bytes,spilled_bytes"]
    for name in gpus:
        log = (aside / f"{name}.log").read_text()
        for row in _nvrtc()["resources"](log):
            rows.append(",".join(map(str, (name, *row))))
    target.write_text("\n".join(rows) + "\n")


def _compile(compiler, aside, made, xla, gpus, show):
    """Makes the libraries. Returns the architectures of GPUs they serve."""
    commands = _commands(compiler, aside, xla)
    images = _images(aside)
    if not gpus:
        for name in images:
            (aside / f"{name}.image").touch()
    steps = {target.stem: command for _, target, command in commands}
    done = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            pool.submit(_run, command): name
            for name, command in (steps | (images if gpus else {})).items()
        }
        try:
            for run in concurrent.futures.as_completed(runs):
                run.result()
                done += 1
                show(f"[{done}/{len(runs)}] {runs[run]}")
        except cache.UnusableError:
            pool.shutdown(cancel_futures=True)
            raise
    source = str(cache.sources() / "cuda" / "images.S")
    within = ["-I", str(aside), "-o", str(aside / "images.o")]
    _run([compiler, "-c", source, *within])
    served = [n for n in images if (aside / f"{n}.image").stat().st_size]
    _report(aside, served, made / "gpu_resources.csv")
    show(
        f"kernels for GPUs: {', '.join(served)}"
        if served
        else "no kernels for GPUs; they take NVRTC, `pip install "
        "nvidia-cuda-nvrtc-cu12`"
    )
    for library in _names(xla):
        # The kernels, which hold nothing of TensorFlow, are in both.
        objects = [str(o) for name, o, _ in commands if name == library]
        objects.append(str(aside / "images.o"))
        if library == cache.XLA_LIBRARY:
            kernels = ("cache", "dispatch", "launch", "driver", *_isas())
            objects += [str(aside / f"{name}.o") for name in kernels]
        _link(compiler, objects, made / library)
    return served


def _link(compiler, objects, target):
    import tensorflow as tf

    place = tf.sysconfig.get_lib()
    names = ["libtensorflow_framework.so.2"]
    if target.name == cache.XLA_LIBRARY:
        names.append("libtensorflow_cc.so.2")
    found = [f"-l:{name}" for name in names]
    if platform.system() == "Darwin":
        found = ["-undefined", "dynamic_lookup"]
    _run(
        [
            compiler,
            "-shared",
            "-o",
            str(target),
            *objects,
            f"-L{place}",
            *found,
            "-ldl",
        ]
    )


def _run(command):
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        raise cache.UnusableError(
            f"The compiler failed ({said.returncode}).\n$ "
            f"{' '.join(command)}\n{said.stdout}{said.stderr}"
        )


def _put(made, place, aside):
    """Whole, or not at all: another process may build or load at once."""
    try:
        made.rename(place)
    except OSError:
        # An older build is there, or another process was faster.
        place.rename(aside / "old")
        made.rename(place)
