"""The claims of the papers: their data, their verdicts, a short run."""

import csv

import numpy as np
import pytest

from tests.support.processes import run

pytest.importorskip("skimage")
papers = pytest.importorskip("benchmarks.papers.__main__")
claims = pytest.importorskip("benchmarks.papers.claims")
experiments = pytest.importorskip("benchmarks.papers.experiments")
results = pytest.importorskip("benchmarks.papers.results")


def test_photographs_share_no_pixel_between_training_and_test():
    from tutorials.photographs import photographs_dataset_builder as builder

    name = "patches"
    # Every pixel has a different number, which shows where a patch is from.
    side = 5 * builder.SQUARE
    numbers = np.arange(side * side).reshape(side, side, 1).repeat(3, axis=2)
    original = builder.PHOTOGRAPHS
    builder.PHOTOGRAPHS = {name: lambda: numbers}
    try:
        generate = builder.Photographs._generate_examples
        train, test = (
            [example["image"] for _, example in generate(None, colour, 200)]
            for colour in (0, 1)
        )
    finally:
        builder.PHOTOGRAPHS = original
    assert {patch.shape for patch in train + test} == {(32, 32, 3)}
    assert len(np.unique(train)) > 20_000
    assert not np.intersect1d(train, test).size


def test_photographs_load_by_name(tmp_path):
    from tutorials import data

    train, test, shape, classes = data.load("photographs", tmp_path)
    assert (tuple(shape), classes) == ((32, 32, 3), 13)
    assert (len(train), len(list(test.unbatch()))) == (1300, 1040)
    labels = np.bincount([int(label) for _, label in train])
    np.testing.assert_array_equal(labels, np.full(13, 100))


def test_confidence_interval_of_a_difference():
    """By simulation, 95 of 100 intervals contain the true mean."""
    random = np.random.default_rng(0)
    found = [results.difference(random.normal(3, 2, 6)) for _ in range(4000)]
    held = np.mean([abs(each.mean - 3) < each.margin for each in found])
    assert abs(held - 0.95) < 0.012
    assert results.difference([1.0]).margin == np.inf


def results_of(condition, other, seeds=6, noise=0.1):
    """Errors of group norm at 2 and at 32 images."""
    random = np.random.default_rng(0)
    rows = [
        {
            "dataset": "d",
            "experiment": "batch_size",
            "method": "group norm",
            "condition": str(images),
            "seed": str(seed),
            "test_error": mean + random.normal(0, noise),
        }
        for images, mean in ((2, condition), (32, other))
        for seed in range(seeds)
    ]
    return results.Results(rows, "d")


MEASURE = claims.between("batch_size", ("group norm", 2), ("group norm", 32))


@pytest.mark.parametrize(
    ("expected", "means", "noise", "verdict"),
    [
        (1, (9.0, 3.0), 0.1, "agrees"),
        (1, (3.0, 9.0), 0.1, "does not"),
        (1, (3.5, 3.0), 3.0, "cannot tell"),
        (-1, (3.0, 9.0), 0.1, "agrees"),
        (0, (3.0, 3.1), 0.1, "agrees"),
        (0, (3.0, 6.0), 0.1, "does not"),
        (0, (3.0, 3.1), 5.0, "cannot tell"),
    ],
)
def test_verdict_follows_from_the_interval(expected, means, noise, verdict):
    claim = claims.Claim("it is so", "us", "-", expected, MEASURE)
    found, remark, judged = claim.judge(results_of(*means, noise=noise))
    assert judged == verdict
    assert found.seeds == 6
    assert remark.count("%") == 2


def test_verdict_of_a_method_without_effect():
    claim = claims.Claim("it helps", "us", "-", -1, lambda _: ([0.0] * 5, ""))
    assert claim.judge(None)[2] == "left out"


def test_diverged_runs_are_reported():
    rows = [
        {
            "dataset": "d",
            "experiment": "rate",
            "method": method,
            "condition": str(rate),
            "seed": str(seed),
            "test_error": "90" if diverges else "2",
            "train_loss": "nan" if diverges else "0.1",
        }
        for method in ("DN-B", "batch norm")
        for rate in (1.0, 16.0)
        for seed in range(4)
        for diverges in [method == "DN-B" and rate > 1 and seed < 3]
    ]
    measure = claims.steadier("rate", 16.0, ("rate", 1.0))
    values, remark = measure(results.Results(rows, "d"))
    np.testing.assert_array_equal(values, [88, 88, 88, 0])
    assert remark == "+66.0 and +0.0; 3 of 4 diverged"


def test_epochs_until_an_error_is_reached():
    errors = np.array([[9.0, 4.0, 5.0, 1.0], [9.0, 8.0, 7.0, 6.0]])
    np.testing.assert_array_equal(claims.epochs_to(errors, 4.5), [2, 5])


def test_configurations_have_different_keys():
    """Configurations with the same key would be skipped as done."""
    configs = [c for make in experiments.EXPERIMENTS.values() for c in make()]
    keys = {config.keys("digits") for config in configs}
    assert len(keys) == len(configs)
    options = papers.arguments(["--data", "digits", "--seeds", "3"])
    todo = list(papers.remaining(options, []))
    assert len(todo) == len(configs)
    names = ("dataset", "experiment", "method", "condition")
    done = dict(zip(names, configs[0].keys("digits"), strict=True))
    rows = [{**done, "seed": "0"}, {**done, "seed": "2"}]
    left = list(papers.remaining(options, rows))
    assert left[0] == (configs[0], "digits", [1])
    rows.append({**done, "seed": "1"})
    assert len(list(papers.remaining(options, rows))) == len(configs) - 1


def test_committed_results_are_complete():
    """Every claim has its figures, of 5 seeds or more."""
    rows = papers.read(papers.HERE / "results.csv")
    readme = (papers.HERE / "README.md").read_text()
    for dataset in ("digits", "photographs"):
        found_on = results.Results(rows, dataset)
        for group in claims.CLAIMS.values():
            for claim in group:
                found, remark, verdict = claim.judge(found_on)
                assert found.seeds >= 5
                assert f"{found} ({remark}) | {verdict} |" in readme
    for name in claims.CLAIMS:
        assert f"{name}.png" in readme
        assert (papers.HERE / f"{name}.png").exists()


@pytest.mark.slow
def test_short_run_is_resumed_and_reported(tmp_path):
    command = ["-m", "benchmarks.papers", "--smoke", "--data", "digits"]
    command += ["--workers", "1", "--output", str(tmp_path)]
    some = ["ghost_size", "unified"]
    run(*command, "--experiments", *some[:1])
    path = tmp_path / "results.csv"
    first = path.read_text()
    assert "Some ghost size" in run(*command, "--experiments", *some)
    assert path.read_text().startswith(first)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # Two seeds, and ten shares of weighing each.
    assert [row["experiment"] for row in rows].count("ghost_size") == 2
    assert [row["experiment"] for row in rows].count("weighing") == 20
    assert [row["experiment"] for row in rows].count("unified") == 2
    for row in rows:
        assert 0 <= float(row["test_error"]) <= 100
        assert np.isfinite(float(row["test_loss"]))
    for name in ("README.md", "ghost_size.png", "weighing.png"):
        assert (tmp_path / name).stat().st_size > 500


MOCKED = """
import sys
import tensorflow_datasets as tfds
from benchmarks.papers import experiments, training
with tfds.testing.mock_data(num_examples=40):
    for name in ("ghost_size", "dynamic"):
        make = experiments.EXPERIMENTS[name]
        config = list(make())[0]
        rows = list(training.run(config, "cifar10", [0], "unused", None, 1))
        print(rows[0]["experiment"], rows[0]["test_error"])
"""


@pytest.mark.slow
def test_cifar10_uses_the_same_code():
    lines = run("-c", MOCKED).splitlines()[-2:]
    assert [line.split()[0] for line in lines] == [
        "ghost_size",
        "dynamic_rate",
    ]
