"""The papers' test bed: verdicts, Holm's correction and choices."""

import dataclasses

import numpy as np
import pytest

from benchmarks.papers import bootstrap
from benchmarks.papers import comparisons
from benchmarks.papers import records
from benchmarks.papers import results
from benchmarks.papers import verdicts
from benchmarks.papers.claims import CLAIMS
from benchmarks.papers.verdicts import EQUAL
from benchmarks.papers.verdicts import HIGHER
from benchmarks.papers.verdicts import LOWER
from tests.benchmarks import papers_rows
from tests.benchmarks.papers_rows import verdict_rows


def test_holm_by_hand():
    # .005 * 4 = .02; .01 * 3 = .03; .03 * 2 = .06; .04 * 1 < .06
    adjusted = verdicts.holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(verdicts.holm([0.9, 0.8]), [1.0, 1.0])


def claim_of(expected, value, error, freedom=np.inf):
    estimate = bootstrap.Estimate(value, error, freedom)
    comparison = verdicts.Comparison(estimate, "")
    return verdicts.Claim("c", "us", "-", expected, lambda _: comparison)


@pytest.mark.parametrize(
    ("expected", "value", "error", "text"),
    [
        (HIGHER, 0.20, 0.10, "agrees"),
        (HIGHER, -0.20, 0.10, "does not agree"),
        (HIGHER, 0.19, 0.10, "cannot tell"),
        (LOWER, -0.20, 0.10, "agrees"),
        (LOWER, 0.0, 0.0, "no effect"),
        # 1.96 standard errors lie within log(0.95) to log(1.05), or not.
        (EQUAL, 0.0, 0.024, "agrees"),
        (EQUAL, 0.0, 0.026, "cannot tell"),
        (EQUAL, 0.02, 0.014, "agrees"),
        (EQUAL, 0.02, 0.016, "cannot tell"),
        (EQUAL, 0.07, 0.010, "does not agree"),
        (EQUAL, 0.06, 0.010, "cannot tell"),
        (EQUAL, 0.0, np.inf, "cannot tell"),
        (LOWER, 0.5, np.inf, "cannot tell"),
    ],
)
def test_verdict_follows_from_the_interval(expected, value, error, text):
    verdict = verdicts.judge(claim_of(expected, value, error), None)
    assert verdict.text == text
    low, high = verdict.comparison.estimate.interval()
    if expected == EQUAL:
        within = np.log(0.95) < low and high < np.log(1.05)
        assert within == (verdict.p < 0.05) == (text == "agrees")
    elif error:
        assert (low > 0 or high < 0) == (verdict.p < 0.05)


def test_verdicts_are_corrected_for_the_number_of_claims():
    clear = claim_of(HIGHER, 0.4, 0.1)
    weak = claim_of(HIGHER, 0.2, 0.1)

    def missing(_):
        raise KeyError

    unrun = dataclasses.replace(weak, compare=missing)
    found = verdicts.judge_all([weak, unrun, clear, weak], None)
    texts = [verdict.text for verdict in found]
    assert texts == ["agrees", "not yet run", "agrees", "agrees"]
    confirmed = [verdict.confirmed for verdict in found]
    assert confirmed == [False, False, True, False]
    assert found[2].adjusted_p == 3 * found[2].p
    assert np.isnan(found[1].adjusted_p)


def test_errors_are_compared_as_ratios():
    rows = verdict_rows("one", 0.2) + verdict_rows("other", 0.4)
    found = results.Results(rows, "d")
    comparison = comparisons.between("one", "other")(found)
    np.testing.assert_allclose(
        comparison.estimate.value, np.log(0.5), atol=0.1
    )
    assert comparison.remark.count("%") == 2
    claim = verdicts.Claim("c", "us", "-", LOWER, lambda _: comparison)
    assert verdicts.judge(claim, found).text == "agrees"


def test_diverged_runs_are_reported():
    rows = verdict_rows("one", 0.9, test_loss="nan")
    rows += verdict_rows("other", 0.1)
    found = results.Results(rows, "d")
    remark = comparisons.between("one", "other")(found).remark
    assert remark.endswith("; 6 and 0 of 6 diverged")


def test_changes_of_ratios():
    errors = {"a": 0.4, "b": 0.2, "c": 0.3, "d": 0.3}
    rows = [row for name in errors for row in verdict_rows(name, errors[name])]
    found = results.Results(rows, "d")
    compare = comparisons.change_of_ratio(("a", "b"), ("c", "d"))
    comparison = compare(found)
    np.testing.assert_allclose(comparison.estimate.value, np.log(2), atol=0.15)
    assert comparison.remark.endswith("and +0.0%")


def test_choices_depend_on_validation_errors_only():
    """A candidate is chosen although another one has a lower test error."""
    rows = verdict_rows("first", 0.9, validation_error=5.0)
    rows += verdict_rows("second", 0.1, validation_error=6.0)
    rows += verdict_rows("reference", 0.5)
    found = results.Results(rows, "d")
    compare = comparisons.best({"1": "first", "2": "second"}, "reference")
    comparison = compare(found)
    assert comparison.estimate.value > 0
    assert comparison.remark.endswith("best: 1")


def test_a_choice_of_the_reference_has_no_effect():
    rows = verdict_rows("ghosts", 0.1, validation_error=5.0)
    rows += verdict_rows("batch", 0.3, validation_error=4.0)
    compare = comparisons.best({"2": "ghosts", "all": "batch"}, "batch")
    claim = verdicts.Claim("c", "us", "-", LOWER, compare)
    verdict = verdicts.judge(claim, results.Results(rows, "d"))
    assert verdict.text == "no effect"
    assert verdict.p == 1


def test_rates_are_chosen_by_error_then_by_loss():
    swept = [
        papers_rows.row(
            "x",
            records.SWEEP,
            rate,
            0,
            validation_error=error,
            validation_loss=loss,
        )
        for rate, error, loss in (
            (0.1, 9.0, "0.1"),
            (0.3, 8.0, "0.5"),
            (0.9, 8.0, "0.4"),
            (2.7, 8.0, "nan"),
        )
    ]
    assert results.rate_of((0.1, 0.3), swept) == 0.9
    assert results.rate_of((0.5,), []) == 0.5


def test_only_complete_configurations_have_results():
    rows = verdict_rows("one", 0.2) + verdict_rows("other", 0.2)[:-1]
    found = results.Results(rows, "d")
    assert found.names() == ["one"]
    with pytest.raises(KeyError, match="not yet trained on d: other"):
        found.errors("other")


def test_every_claim_is_judged():
    found = results.Results(papers_rows.complete_rows(), "d")
    every_claim = [claim for group in CLAIMS.values() for claim in group]
    judged = verdicts.judge_all(every_claim, found)
    assert not [v.claim.text for v in judged if v.text == verdicts.NOT_RUN]
    texts = [claim.text for claim in every_claim]
    assert len(set(texts)) == len(texts)
    empty = verdicts.judge_all(every_claim, results.Results([], "d"))
    assert {verdict.text for verdict in empty} == {verdicts.NOT_RUN}
