"""The cubins of the GPU kernels: NVRTC compiles one per architecture."""

import functools
import runpy
import sys

from keras_norms.native import cache


@functools.cache
def _nvrtc():
    """The names of `tf_ops/cuda/nvrtc.py`, which imports no package."""
    return runpy.run_path(str(cache.sources() / "cuda" / "nvrtc.py"))


def has_nvrtc():
    """Whether NVRTC is installed."""
    return _nvrtc()["library"]() is not None


def commands(folder):
    """The command that compiles the cubin of each architecture, by name."""
    script = str(cache.sources() / "cuda" / "nvrtc.py")
    return {
        name: [sys.executable, script, name, str(_cubin(folder, name))]
        for name in _nvrtc()["ARCHITECTURES"]
    }


def _cubin(folder, name):
    return folder / f"{name}.cubin"


def write_empty(folder):
    """Writes empty cubins, which a library without GPU kernels includes."""
    for name in _nvrtc()["ARCHITECTURES"]:
        _cubin(folder, name).touch()


def compiled(folder):
    """The architectures whose cubins are not empty."""
    names = _nvrtc()["ARCHITECTURES"]
    return [name for name in names if _cubin(folder, name).stat().st_size]


def write_resources(folder, target):
    """Writes the registers, shared memory and spills that NVRTC reports."""
    rows = ["architecture,kernel,registers,shared_bytes,spilled_bytes"]
    for name in compiled(folder):
        log = _cubin(folder, name).with_suffix(".log").read_text()
        for row in _nvrtc()["resources"](log):
            rows.append(",".join(map(str, (name, *row))))
    target.write_text("\n".join(rows) + "\n")
