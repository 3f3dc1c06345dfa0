"""Checks and times of the JAX handlers. Importing this imports JAX."""

import jax

from benchmarks.gpu import cases
from benchmarks.gpu import check as check_
from benchmarks.gpu import jax_check
from benchmarks.gpu import jax_ffi
from benchmarks.gpu import jax_suite
from benchmarks.gpu import library
from benchmarks.gpu.arrays import Numpy


def platforms():
    gpu = jax.default_backend() == "gpu"
    return ("cpu", "gpu") if gpu else ("cpu",)


def register(say):
    say(library.build("jax", jax_ffi.LIBRARY))
    jax_ffi.register()
    say(f"JAX {jax.__version__}, on {' and '.join(platforms())}")


def check(seed, findings):
    """Checks each handler on each platform.

    Some of the cases, because compilation for every shape takes long.
    """
    some = list(cases.cases(few=True))[::4]
    for platform in platforms():
        kernels = jax_check.JaxKernels(platform)
        found = check_.check(some, kernels, Numpy(), seed)
        findings.count += found.count
        findings.failures += [f"JAX, {platform}: {f}" for f in found.failures]
        yield f"JAX, {platform}: {found.count} results checked"


def times(shapes):
    if "gpu" in platforms():
        yield from jax_suite.times(shapes)
