"""Compares the results of a layer with those of the oracle.

An error is explained if it is at most `LIMIT` times the rounding sensitivity
of the case, plus two units in the last place of the output.
"""

import dataclasses
import logging
import traceback
import warnings

import ml_dtypes
import numpy as np
import tensorflow as tf

from benchmarks.fuzz import arrays as arrays_of
from benchmarks.fuzz import cases
from benchmarks.fuzz import companions
from benchmarks.fuzz import layers
from benchmarks.fuzz import oracle

LIMIT = 32.0
NEGLIGIBLE = 16  # units in the last place, which need no explanation


@dataclasses.dataclass
class Difference:
    output: str
    error: float
    size: float  # the largest magnitude near it
    ratio: float  # error over rounding sensitivity
    condition: float  # rounding sensitivity over the output's largest value

    def __str__(self):
        return (
            f"of {self.output}: {self.error:.2g} of {self.size:.2g}, ratio "
            f"{self.ratio:.3g}, sensitivity {self.condition:.2g}"
        )


@dataclasses.dataclass
class Outcome:
    """The outcome of a case."""

    kind: str  # "passed", "refused", "crashed"
    message: str = ""
    differences: list[Difference] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    weak: list[str] = dataclasses.field(default_factory=list)

    @property
    def unexplained(self):
        return [d for d in self.differences if not d.ratio <= LIMIT]


def outcome_of(seed):
    """Draws and runs the case of a seed."""
    # TensorFlow warns about repeated tracing, which every case needs.
    logging.getLogger("tensorflow").setLevel("ERROR")
    case = cases.draw(seed)
    with warnings.catch_warnings():
        # Warnings about condensed batches, and about casts that overflow.
        warnings.simplefilter("ignore")
        return case, run(case)


def run(case):
    """Runs a case. Every exception is an outcome."""
    try:
        arrays = arrays_of.draw(case)
        if case.layer in companions.ACTUAL:
            actual, expected = companions.run(case, arrays)
        else:
            layer, trainable, weights = layers.build(case, arrays)
            actual, dy = layers.actual(case, layer, trainable, arrays)
            expected = oracle.expected(case, arrays, weights, dy)
    except ValueError as error:
        if "Received" in str(error) and not _of_tensorflow(error):
            return Outcome("refused", _rule(error))
        return Outcome("crashed", traceback.format_exc(limit=-2))
    except Exception:
        return Outcome("crashed", traceback.format_exc(limit=-2))
    return compare(case, actual, expected)


def _of_tensorflow(error):
    frames = traceback.extract_tb(error.__traceback__)
    return "keras_norms" not in frames[-1].filename


def _rule(error):
    text = str(error).removeprefix("Exception encountered when calling ")
    return text.strip().split("Received:")[0]


def compare(case, actual, expected):
    unknown = set(actual) ^ (set(expected.values) & set(actual))
    if unknown:
        return Outcome("crashed", f"no expectation of {sorted(unknown)}")
    outcome = Outcome("passed", skipped=expected.skipped)
    for name, have in actual.items():
        if name in expected.skipped or "*" in expected.skipped:
            continue
        samples = expected.values[name]
        per_row = samples.ndim == 4 and name in ("y", "dx")
        computed = "float64" if case.dtype == "float64" else "float32"
        both = limits(have.dtype), limits(computed)
        unit, tiny = map(max, *(limit[:2] for limit in both))
        largest = min(limit[2] for limit in both)
        have = tf.cast(have, "float64").numpy()
        if per_row:
            have = oracle.positions(have, case.axis)
        if have.shape != samples.shape[1:]:
            shapes = f"{have.shape}, not {samples.shape[1:]}"
            return Outcome("crashed", f"{name} has shape {shapes}")
        if is_weak(samples, expected.gain):
            outcome.weak.append(name)
        found = difference(
            have, samples, per_row, expected.gain, unit, tiny, largest
        )
        if found is not None:
            outcome.differences.append(Difference(name, *found))
    return outcome


def limits(dtype):
    """The unit in the last place of 1, the smallest and largest numbers."""
    dtype = tf.as_dtype(dtype)
    info = ml_dtypes.finfo(dtype.as_numpy_dtype)
    if dtype == tf.float16:
        tiny = float(info.smallest_subnormal)
    else:
        # Numbers near the smallest are flushed to zero in between.
        tiny = 1e4 * float(info.tiny)
    return float(info.eps), float(tiny), float(info.max)


def is_weak(samples, gain):
    """Whether the sensitivity explains an error of a tenth of an output."""
    with np.errstate(invalid="ignore", over="ignore"):
        spread = np.abs(samples - samples[0]).max(0) / gain
    finite = np.isfinite(spread)
    if not finite.any():
        return False
    size = np.abs(samples[0][finite]).max()
    return bool(LIMIT * spread[finite].max() > 0.1 * size > 0)


def difference(have, samples, per_row, gain, unit, tiny, largest):
    """The worst error, or None if it needs no explanation."""
    if not have.size:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        want = samples[0]
        spread = np.abs(samples - want).max(0) / gain
        error, size = np.abs(have - want), np.abs(want)
        if per_row:
            spread = spread.max(1, keepdims=True) + 0.0 * want
            size = size.max(1, keepdims=True) + 0.0 * want
    compared = np.isfinite(want) & np.isfinite(spread)
    compared &= (size < largest / 4) & (size < 1e37)
    error = np.where(np.isnan(error), np.inf, error)
    beyond = error - 2 * unit * np.abs(want) - 2 * tiny
    relevant = compared & (beyond > 0) & (error > NEGLIGIBLE * unit * size)
    if not relevant.any():
        return None
    ratio = np.where(relevant, beyond / np.maximum(spread, 1e-300), 0.0)
    worst = np.unravel_index(np.argmax(ratio), ratio.shape)
    largest = max(np.abs(want[compared]).max(), 1e-300)
    found = error[worst], size[worst], ratio[worst], spread[worst] / largest
    return tuple(map(float, found))
