"""Claims, their verdicts, and Holm's correction for the number of claims."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from benchmarks.papers.bootstrap import Estimate

LOWER, EQUAL, HIGHER = -1, 0, 1
# Errors are equal if the interval of their ratio lies within these.
MARGINS = (0.95, 1.05)
LEVEL = 0.05

AGREES, DISAGREES = "agrees", "does not agree"
UNKNOWN, NO_EFFECT, NOT_RUN = "cannot tell", "no effect", "not yet run"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The logarithm of a ratio, and a remark on how it was computed."""

    estimate: Estimate
    remark: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of a paper about the ratio of two errors.

    Args:
        text: the claim.
        source: the paper.
        paper: what the paper reports.
        expected: `LOWER`, `HIGHER` or `EQUAL`.
        compare: a function of `Results` that returns a `Comparison`.
    """

    text: str
    source: str
    paper: str
    expected: int
    compare: Callable


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the results say about a claim."""

    claim: Claim
    comparison: Comparison | None
    p: float
    text: str
    adjusted_p: float = math.nan

    @property
    def confirmed(self):
        """Whether it agrees, also after Holm's correction."""
        return self.text == AGREES and self.adjusted_p < LEVEL


def judge(claim, results):
    """The verdict on a claim before Holm's correction."""
    try:
        comparison = claim.compare(results)
    except KeyError:
        return Verdict(claim, None, math.nan, NOT_RUN)
    estimate = comparison.estimate
    if claim.expected == EQUAL:
        p, text = _judge_equality(estimate)
    else:
        p, text = _judge_direction(estimate, claim.expected)
    return Verdict(claim, comparison, p, text)


def _judge_direction(estimate, expected):
    if not estimate.value and not estimate.error:
        return 1.0, NO_EFFECT
    p = min(1.0, 2 * min(estimate.p_above(0.0), estimate.p_below(0.0)))
    if p >= LEVEL:
        return p, UNKNOWN
    return p, AGREES if np.sign(estimate.value) == expected else DISAGREES


def _judge_equality(estimate):
    """Two one-sided tests, each with half of the level."""
    low, high = np.log(MARGINS)
    p = 2 * max(estimate.p_above(low), estimate.p_below(high))
    outside = 2 * min(estimate.p_below(low), estimate.p_above(high))
    text = UNKNOWN
    if p < LEVEL:
        text = AGREES
    elif outside < LEVEL:
        text = DISAGREES
    return min(1.0, p), text


def holm(values):
    """Holm's adjusted p-values, in the order of the values."""
    values = np.asarray(values, float)
    order = np.argsort(values, kind="stable")
    remaining = len(values) - np.arange(len(values))
    stepped = np.maximum.accumulate(values[order] * remaining)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def judge_all(claims, results):
    """The verdicts on all claims, corrected for those that were run."""
    found = [judge(claim, results) for claim in claims]
    run = [i for i, verdict in enumerate(found) if verdict.comparison]
    adjusted = holm([found[i].p for i in run])
    for index, p in zip(run, adjusted, strict=True):
        found[index] = dataclasses.replace(found[index], adjusted_p=float(p))
    return found
