"""The papers' test bed: confidence intervals over seeds and images."""

import numpy as np
import pytest

from benchmarks.papers import bootstrap
from benchmarks.papers import comparisons


@pytest.fixture
def few_replicates(monkeypatch):
    original = bootstrap.draws.__wrapped__
    cached = {}

    def draws(count, stream=0):
        key = count, stream
        if key not in cached:
            cached[key] = original(count, 500, stream)
        return cached[key]

    monkeypatch.setattr(bootstrap, "draws", draws)


@pytest.mark.usefixtures("few_replicates")
@pytest.mark.parametrize(
    ("of_seeds", "of_images", "rest"),
    [(0.0, 1.0, 1.0), (0.3, 0.0, 1.0), (0.2, 1.0, 1.0), (0.05, 0.5, 4.0)],
    ids=["images", "seeds", "both", "rest"],
)
def test_intervals_contain_the_true_value(of_seeds, of_images, rest):
    """By simulation, of other seeds and other images: 95 of 100."""
    random = np.random.default_rng(0)
    seeds, images, count = 8, 150, 800
    covered, errors = 0, []
    for _ in range(count):
        matrix = (
            3
            + of_seeds * random.normal(size=(seeds, 1))
            + of_images * random.normal(size=(1, images))
            + rest * random.normal(size=(seeds, images))
        )
        means = bootstrap.means(matrix)
        estimate = bootstrap.estimate(lambda x: x, means)
        low, high = estimate.interval()
        covered += low < 3 < high
        errors.append(estimate.error)
    assert 0.93 < covered / count < 0.985
    true = of_seeds**2 / seeds + of_images**2 / images
    true += rest**2 / (seeds * images)
    np.testing.assert_allclose(np.mean(errors), true**0.5, rtol=0.1)


@pytest.mark.usefixtures("few_replicates")
def test_intervals_of_a_ratio_of_paired_errors():
    """Configurations share seeds and images, which narrows the interval."""
    random = np.random.default_rng(0)
    covered, widths = 0, {"paired": [], "unpaired": []}
    for _ in range(150):
        difficulty = random.random((1, 300))
        luck = random.normal(0, 0.02, (8, 1))
        first, second, other = (
            random.random((8, 300)) < chance * (difficulty_of > 0.5) + luck
            for chance, difficulty_of in (
                (0.5, difficulty),
                (0.4, difficulty),
                (0.4, random.random((1, 300))),
            )
        )
        for name, reference in (("paired", second), ("unpaired", other)):
            pair = bootstrap.means(first), bootstrap.means(reference)
            estimate = bootstrap.estimate(comparisons.log_ratio, *pair)
            widths[name].append(estimate.error)
            if name == "paired":
                low, high = estimate.interval()
                covered += low < np.log(0.5 / 0.4) < high
    assert covered / 150 > 0.92
    assert np.mean(widths["paired"]) < 0.8 * np.mean(widths["unpaired"])


def test_degrees_of_freedom():
    """S - 1 if seeds dominate, and about N - 1 if images do."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(5, 1)) + 0.01 * random.normal(size=(5, 400))
    columns = random.normal(size=(1, 400)) + 0.01 * random.normal(
        size=(5, 400)
    )
    of_rows, of_columns = (
        bootstrap.estimate(lambda x: x, bootstrap.means(matrix))
        for matrix in (rows, columns)
    )
    np.testing.assert_allclose(of_rows.freedom, 4, rtol=0.05)
    assert of_columns.freedom > 300


def test_one_seed_has_no_interval():
    means = bootstrap.means(np.eye(4)[:1])
    assert bootstrap.estimate(lambda x: x, means).error == np.inf
