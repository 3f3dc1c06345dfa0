"""The kernels for GPUs: an image for each architecture, by NVRTC."""

import functools
import runpy
import sys

from keras_norms.library import cache


@functools.cache
def _nvrtc():
    """What `tf_ops/cuda/nvrtc.py` has: it needs nothing of the package."""
    return runpy.run_path(str(cache.sources() / "cuda" / "nvrtc.py"))


def possible():
    """Whether there is NVRTC to make them with."""
    return _nvrtc()["library"]() is not None


def commands(aside):
    """What makes each of them in a folder, by its architecture."""
    script = str(cache.sources() / "cuda" / "nvrtc.py")
    return {
        name: [sys.executable, script, name, str(_image(aside, name))]
        for name in _nvrtc()["ARCHITECTURES"]
    }


def _image(aside, name):
    return aside / f"{name}.cubin"


def leave_out(aside):
    """None, in the same folder: libraries hold what is empty, too."""
    for name in _nvrtc()["ARCHITECTURES"]:
        _image(aside, name).touch()


def made(aside):
    """The architectures that there is an image for."""
    names = _nvrtc()["ARCHITECTURES"]
    return [name for name in names if _image(aside, name).stat().st_size]


def report(aside, target):
    """Writes what NVRTC says of them: registers, shared memory, spills."""
    rows = ["architecture,kernel,registers,shared_bytes,spilled_bytes"]
    for name in made(aside):
        log = _image(aside, name).with_suffix(".log").read_text()
        for row in _nvrtc()["resources"](log):
            rows.append(",".join(map(str, (name, *row))))
    target.write_text("\n".join(rows) + "\n")
