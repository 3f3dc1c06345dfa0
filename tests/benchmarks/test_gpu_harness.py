"""benchmarks/gpu on the emulation: what it finds, and what the driver says."""

import ctypes
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.gpu import arrays
from benchmarks.gpu import cases
from benchmarks.gpu import check
from benchmarks.gpu import library
from benchmarks.gpu import oracles
from tests.support.gpu_build import BUILD

ROOT = pathlib.Path(__file__).parents[2]
LIBRARY = BUILD / "gpu" / library.LIBRARY.name
CASE = cases.Case(cases.View(2, 6, 8, 1), "bfloat16", "silu", (2,))

RANDOM = np.random.default_rng(0)

CALL = """
import sys
from benchmarks.gpu import arrays, library

library.TYPES["float64"] = 1
path, kernel, dtype, grows = sys.argv[1:]
held = arrays.Numpy()
kernels = library.Kernels(held, path, grows=grows == "grows")
names = ("x", "count", "mean", "variance", "residual")
arrays = {name: held.poisoned(1024) for name in names}
try:
    kernels.run(kernel, library.View(2, 3, 5, 1), dtype, **arrays)
except RuntimeError as error:
    print(error)
else:
    print("ran:", arrays["count"][:8].view("float32"))
"""
RAN = "ran: [3. 3.]"


def python(*arguments, driver=BUILD / "emulated", capability=90, clusters=1):
    """What Python prints, with a driver of CUDA for a GPU of a capability."""
    paths = [driver, os.environ.get("LD_LIBRARY_PATH")]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(str(path) for path in paths if path),
        "EMULATED_CAPABILITY": str(capability),
        "EMULATED_CLUSTERS": str(clusters),
    }
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    return result.stdout.strip()


def called(kernel="moments", dtype="float32", grows=True, **how):
    how_far = "grows" if grows else "stays"
    return python("-c", CALL, str(LIBRARY), kernel, dtype, how_far, **how)


@pytest.mark.usefixtures("gpu_library")
# Without and with what Hopper brought, and on a part of it that has no room
# for clusters.
@pytest.mark.parametrize(
    ("capability", "clusters"), [(80, 1), (90, 1), (90, 0)]
)
def test_the_kernels_are_right(capability, clusters):
    printed = python(
        *("-m", "benchmarks.gpu", "--only", "check", "--few", "--no-jax"),
        *("--memory", "numpy", "--library", str(LIBRARY)),
        capability=capability,
        clusters=clusters,
    )
    assert " results checked, 0 failures, seed " in printed


@pytest.mark.usefixtures("gpu_library")
@pytest.mark.parametrize("capability", [87, 90, 120])
def test_code_for_a_gpu_is_found(capability):
    assert called(capability=capability) == RAN


@pytest.mark.usefixtures("gpu_library")
def test_a_gpu_that_nothing_was_built_for():
    assert called(capability=60) == (
        "No kernels were built for a GPU of compute capability 6.0."
    )


@pytest.mark.usefixtures("gpu_library")
def test_no_driver():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("there is a driver")
    assert called(driver=None) == (
        "CUDA's driver cannot be loaded: libcuda.so.1: cannot open shared "
        "object file: No such file or directory"
    )


@pytest.mark.usefixtures("gpu_library")
def test_scratch():
    # 16 bytes for each channel of each row.
    assert called(grows=False) == (
        "There is no memory for 160 bytes of partial sums."
    )
    assert called() == RAN


@pytest.mark.usefixtures("gpu_library")
def test_what_there_is_no_kernel_for():
    assert called("norms") == "There is no operation 'norms'."
    assert called(dtype="float64") == (
        "The kernels for GPUs do not support float64."
    )


class Stub:
    """Kernels that call `act` with their arrays instead of computing."""

    def __init__(self, act):
        self.act = act

    def forget(self):
        pass

    def __getattr__(self, kernel):
        return lambda view, dtype, **arrays_by_name: self.act(arrays_by_name)


def failures(act):
    return check.check([CASE], Stub(act), arrays.Numpy(), seed=0)


def test_what_is_not_written_is_found():
    found = failures(lambda arrays_by_name: None)
    assert np.isnan(list(found.worst.values())).all()
    assert len(found.failures) == found.count == 15


def past(arrays_by_name):
    if "result" in arrays_by_name:
        arrays_by_name["result"][-1] = 0


def over(arrays_by_name):
    arrays_by_name["x"][0] ^= 1


def at_random(arrays_by_name):
    if "result" in arrays_by_name:
        arrays_by_name["result"][:8] = RANDOM.integers(256, size=8)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (past, "apply: written past result"),
        (over, "moments: x was written to"),
        (at_random, "group_norm: result differs between runs"),
    ],
)
def test_what_is_written_wrongly_is_found(act, words):
    found = failures(act).failures
    assert any(failure.startswith(words) for failure in found)


@pytest.mark.parametrize("name", library.ACTIVATIONS)
def test_slopes_are_those_of_the_activations(name):
    z, h = np.linspace(-7.1, 7.1, 50), 1e-5
    up, down = (oracles.activation(name, z + e) for e in (h, -h))
    expected = (up - down) / (2 * h)
    np.testing.assert_allclose(oracles.slope(name, z), expected, atol=1e-9)


def test_the_gradient_of_a_group_norm_is_that_of_its_oracle():
    random = np.random.default_rng(0)
    x, g, direction = random.normal(size=(3, 2, 3, 6, 4))
    gamma, beta = random.normal(size=(2, 6))

    def loss(x, gamma=gamma):
        return (g * oracles.GroupNorm(x, 3, 1e-3, gamma, beta).z).sum()

    norm = oracles.GroupNorm(x, 3, 1e-3, gamma, beta)
    (dx, _), (d_gamma, _), (d_beta, _) = norm.gradient(g)
    h = 1e-5
    along = (loss(x + h * direction) - loss(x - h * direction)) / (2 * h)
    np.testing.assert_allclose((dx * direction).sum(), along, rtol=1e-7)
    np.testing.assert_allclose(loss(x), d_gamma @ gamma + d_beta @ beta)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1 + 2**-8, 0x3F80),  # ties to even
        (1 + 3 * 2**-8, 0x3F82),
        (1 + 2**-8 + 2**-20, 0x3F81),
        (-np.inf, 0xFF80),
        (3.4e38, 0x7F80),
        (np.nan, 0x7FC0),
    ],
)
def test_bfloat16_is_rounded_to_nearest(value, bits):
    stored = arrays.stored(np.array([value]), "bfloat16")
    assert stored[0] == bits
    rounded_twice = arrays.stored(arrays.exact(stored, "bfloat16"), "bfloat16")
    assert rounded_twice[0] == bits
