"""The library of the kernels for GPUs, and the driver that emulates one."""

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tf_ops.cuda import nvrtc

SOURCES = pathlib.Path(__file__).parents[2] / "tf_ops"
BUILD = SOURCES / "build" / "test"
CUBIN = BUILD / "gpu" / "sm_90.cubin"
# The emulated driver looks only at the first bytes of an image, so only one of
# them is compiled.
STUBS = {"sm_80.cubin": b"\x7fELF", "compute_90.cubin": b"//"}


def build():
    """Builds both, by one process at a time."""
    tools = shutil.which("g++") and shutil.which("make")
    if not tools or nvrtc.library() is None:
        pytest.skip("no compiler for the kernels: g++, make and NVRTC")
    CUBIN.parent.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, content in STUBS.items():
            (CUBIN.parent / name).write_bytes(content)
        subprocess.run(
            [
                *("make", f"-j{os.cpu_count()}", "-C", SOURCES),
                *("gpu", "emulated", f"PYTHON={sys.executable}"),
                *(f"OUT={BUILD}", f"GPUS={CUBIN.stem}"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
