"""Group norm in JAX: the handlers, against what XLA makes of the formulas.

By the host's clock over many calls, on inputs in rotation that are larger than
the caches: JAX's stream has no events for others.
"""

import functools
import statistics
import time

import jax
import jax.numpy as jnp

from benchmarks.gpu import jax_ffi
from benchmarks.gpu.timing import SETS
from benchmarks.gpu.work import EPSILON
from benchmarks.gpu.work import GROUPS

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
    """The result, and gradients of all, without and with ours."""
    y, gradient = jax.vjp(composed, x, gamma, beta)
    return y, gradient(dy)


HOW = {"axis": 3, "function": "silu", "groups": GROUPS, "epsilon": EPSILON}


def ours(x, gamma, beta):
    given = {"x": x, "gamma": gamma, "beta": beta}
    return jax_ffi.call("group_norm", **given, **HOW)["result"]


def ours_both(x, gamma, beta, dy):
    given = {"x": x, "gamma": gamma, "beta": beta}
    kept = jax_ffi.call("group_norm", **given, **HOW)
    y = kept.pop("result")
    given |= {"dy": dy} | kept
    return y, jax_ffi.call("group_norm_gradient", **given, **HOW)


def times(shapes, dtype="bfloat16"):
    """(shape, dtype, function, pass, candidate, us): medians in turns."""
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
            taken = [each[:count] for each in sets]
            calls = [jax.jit(theirs), jax.jit(mine)]
            found = zip(("XLA", "ours"), medians(calls, taken), strict=True)
            for candidate, us in found:
                yield shape, dtype, HOW["function"], name, candidate, us


def medians(calls, taken):
    times = [[] for _ in calls]
    for turn in range(1 + ROUNDS):
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            results = [call(*taken[i % SETS]) for i in range(CALLS)]
            jax.block_until_ready(results)
            # The first compiles.
            if turn:
                found.append(time.perf_counter() - start)
    return [1e6 * statistics.median(found) / CALLS for found in times]
