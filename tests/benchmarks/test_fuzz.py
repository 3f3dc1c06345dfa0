"""Some cases of `python -m benchmarks.fuzz`, and cases that must fail."""

import dataclasses

import pytest

from benchmarks.fuzz import __main__ as fuzz
from benchmarks.fuzz import cases
from benchmarks.fuzz import check
from keras_norms.statistics import affine

SLICE = 160
CHUNKS = 8
FIRST = 9_000_000


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_cases_have_no_unexplained_difference(chunk, capsys):
    summary = fuzz.Summary()
    for seed in range(FIRST + chunk, FIRST + SLICE, CHUNKS):
        case, outcome = check.outcome_of(seed)
        summary.add(case, outcome)
    printed = capsys.readouterr().out
    assert not summary.unexplained, printed
    assert not summary.kinds["crashed"], printed
    assert summary.kinds["passed"] > 0.8 * SLICE / CHUNKS


def test_cases_are_reproducible():
    one, other = cases.draw(FIRST), cases.draw(FIRST)
    assert one == other
    assert cases.draw(FIRST + 1) != one


def plain_case(**changes):
    """Batch norm in training, without special values."""
    case = cases.Case(
        seed=1,
        layer="BatchNormalization",
        arguments={"momentum": 0.9},
        shape=(4, 5, 3),
        axis=-1,
        dtype="float32",
        policy="float32",
        training="true",
        native=False,
        run="eager",
        mask=None,
        mask_rank=1,
        scale=1.0,
        mean=0.0,
        values="normal",
        bad=None,
    )
    return dataclasses.replace(case, **changes)


def test_error_of_a_hundred_roundings_is_found(monkeypatch):
    plain = affine.rstd

    def wrong(moments, epsilon):
        return plain(moments, epsilon) * (1.0 + 100 * 2.0**-24)

    assert not check.run(plain_case()).unexplained
    monkeypatch.setattr(affine, "rstd", wrong)
    outcome = check.run(plain_case())
    assert outcome.kind == "passed"
    assert {d.output for d in outcome.unexplained} >= {"y", "dx"}


def test_refusals_are_counted_by_rule():
    outcome = check.run(plain_case(arguments={"epsilon": -1.0}))
    assert outcome.kind == "refused"
    rule = "`epsilon` must be a finite number, 0 or more."
    assert outcome.message.strip() == rule


def test_crash_is_an_outcome(monkeypatch):
    def broken(moments, epsilon):
        raise TypeError("broken")

    monkeypatch.setattr(affine, "rstd", broken)
    outcome = check.run(plain_case())
    assert outcome.kind == "crashed"
    assert "TypeError" in outcome.message
    assert "broken" in outcome.message
