"""Times group norm in JAX: our handlers, and XLA's code for the formulas.

JAX's stream has no events for other libraries, so the clock of the host
measures many calls, with inputs in rotation that are larger than the caches.
"""

import functools

import jax
import jax.numpy as jnp

from benchmarks import timing
from benchmarks.gpu import jax_ffi
from benchmarks.gpu.timing import SETS
from benchmarks.gpu.workloads import EPSILON
from benchmarks.gpu.workloads import GROUPS

CALLS, ROUNDS = 12, 9


def composed(x, gamma, beta):
    wide = x.astype("float32").reshape(
        len(x), -1, GROUPS, x.shape[-1] // GROUPS
    )
    mean = wide.mean((1, 3), keepdims=True)
    variance = jnp.square(wide - mean).mean((1, 3), keepdims=True)
    hat = (wide - mean) * jax.lax.rsqrt(variance + EPSILON)
    return jax.nn.silu(hat.reshape(x.shape) * gamma + beta).astype(x.dtype)


def both(x, gamma, beta, dy):
    """The result, and the gradients of x, gamma and beta."""
    y, gradient = jax.vjp(composed, x, gamma, beta)
    return y, gradient(dy)


HOW = {"axis": 3, "function": "silu", "groups": GROUPS, "epsilon": EPSILON}


def ours(x, gamma, beta):
    inputs = {"x": x, "gamma": gamma, "beta": beta}
    return jax_ffi.call("group_norm", **inputs, **HOW)["result"]


def ours_both(x, gamma, beta, dy):
    inputs = {"x": x, "gamma": gamma, "beta": beta}
    results = jax_ffi.call("group_norm", **inputs, **HOW)
    y = results.pop("result")
    inputs |= {"dy": dy} | results
    return y, jax_ffi.call("group_norm_gradient", **inputs, **HOW)


def times(shapes, dtype="bfloat16"):
    """Yields (shape, dtype, function, pass, candidate, us)."""
    for shape in shapes:
        *keys, key = jax.random.split(jax.random.key(0), 2 * SETS + 1)
        normal = functools.partial(jax.random.normal, shape=shape, dtype=dtype)
        weights = jax.random.normal(key, (2, shape[-1]))
        sets = [
            (normal(keys[2 * i]), *weights, normal(keys[2 * i + 1]))
            for i in range(SETS)
        ]
        for name, theirs, mine, count in (
            ("forward", composed, ours, 3),
            ("forward + backward", both, ours_both, 4),
        ):
            input_sets = [each[:count] for each in sets]
            candidates = {
                "XLA": repeated(jax.jit(theirs), input_sets),
                "ours": repeated(jax.jit(mine), input_sets),
            }
            found = timing.medians(candidates, ROUNDS, warmup=1)
            for candidate, seconds in found.items():
                us = 1e6 * seconds / CALLS
                yield shape, dtype, HOW["function"], name, candidate, us


def repeated(call, input_sets):
    """CALLS calls with inputs in rotation, until their results are ready."""

    def run():
        results = [call(*input_sets[i % SETS]) for i in range(CALLS)]
        jax.block_until_ready(results)

    return run
