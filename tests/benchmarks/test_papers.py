"""The papers' test bed: its trainings, resuming and its report."""

import csv
import dataclasses
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.papers import __main__ as papers
from benchmarks.papers import configurations as names
from benchmarks.papers import experiments
from benchmarks.papers import records
from benchmarks.papers import report
from benchmarks.papers import results
from benchmarks.papers import runs
from tests.benchmarks import papers_rows
from tests.support.processes import ROOT
from tests.support.processes import run

PLAN = runs.Plan(pathlib.Path("unused"), 600, seeds=3, sweep_seeds=1)


def test_outcomes_are_stored_per_image():
    random = np.random.default_rng(0)
    for count in (1, 7, 2000):
        wrong = random.random(count) < 0.3
        text = records.encode_wrong(wrong)
        np.testing.assert_array_equal(records.decode_wrong(text), wrong)
    losses = np.array([0.0, 0.02, 0.3, 2.0, 40.0, np.inf, np.nan])
    decoded = records.decode_losses(records.encode_losses(losses))
    np.testing.assert_allclose(decoded[:5], losses[:5], rtol=0.03)
    assert (decoded[5:] > 50).all()


def test_an_unfinished_line_is_removed(tmp_path):
    path = tmp_path / "results.csv"
    row = papers_rows.row("x", records.SWEEP, 0.1, 0)
    with records.Appender(path) as appender:
        appender.append(row)
    with path.open("a") as file:
        file.write("d,y,sweep,0.1")
    assert records.read(path) == [row]
    with records.Appender(path) as appender:
        appender.append({**row, "seed": "1"})
    assert records.read(path) == [row, {**row, "seed": "1"}]


def test_configurations_are_few_and_have_different_names():
    found = [
        configuration.name
        for make in experiments.EXPERIMENTS.values()
        for configuration in make()
    ]
    assert len(set(found)) == len(found) <= 60
    assert len(experiments.configurations()) == len(found)
    template = (papers.HERE / "template.md").read_text()
    assert f"The {len(found)} configurations have " in template


class Recorder:
    """Stands in for a trainer: the lowest rate has the lowest error."""

    def __init__(self, configuration):
        self.configuration = configuration
        self.trained = []

    def train(self, rate, seed):
        self.trained.append((rate, seed))
        self.rate = rate

    def evaluate(self, split, weight=0.0):
        wrong = np.arange(100) < 100 * self.rate
        return wrong, 1.0 * wrong


@pytest.fixture
def recorder(monkeypatch):
    configuration = experiments.configurations()[names.grouped(1)]
    recorder = Recorder(configuration)
    monkeypatch.setattr(runs, "trainer_of", lambda task: recorder)
    return recorder


def tasks_of(configuration, rows, plan=PLAN):
    text = [{name: str(value) for name, value in r.items()} for r in rows]
    chosen = {configuration.name: configuration}
    return runs.tasks(["d"], chosen, plan, text)


def test_the_best_rate_of_the_sweep_is_trained(recorder):
    [task] = tasks_of(recorder.configuration, [])
    assert task.remaining() == 6
    rows = list(runs.train(task))
    low, middle, high = recorder.configuration.rates
    sweep = [(rate, 1000) for rate in (low, middle, high)]
    assert recorder.trained == sweep + [(low, seed) for seed in range(3)]
    assert {"wrong", "test_error"} <= set(rows[-1])
    assert "wrong" not in rows[0]
    assert not tasks_of(recorder.configuration, rows)


@pytest.mark.parametrize("finished", range(1, 6))
def test_a_run_that_was_ended_is_resumed(recorder, finished):
    [task] = tasks_of(recorder.configuration, [])
    rows = list(runs.train(task))
    recorder.trained.clear()
    [task] = tasks_of(recorder.configuration, rows[:finished])
    assert task.remaining() == 6 - finished
    more = list(runs.train(task))
    assert len(recorder.trained) == 6 - finished
    keys = [records.key(row) for row in rows[:finished] + more]
    assert keys == [records.key(row) for row in rows]


def test_more_seeds_add_trainings(recorder):
    [task] = tasks_of(recorder.configuration, [])
    rows = list(runs.train(task))
    recorder.trained.clear()
    plan = dataclasses.replace(PLAN, seeds=5)
    [task] = tasks_of(recorder.configuration, rows, plan)
    assert task.remaining() == 2
    assert len(list(runs.train(task))) == len(recorder.trained) == 2


def test_results_of_other_steps_are_refused():
    options = papers.arguments(["--steps", "10"])
    rows = [papers_rows.row("x", records.SWEEP, 0.1, 0)]
    with pytest.raises(SystemExit, match="--steps 10, and results with 600"):
        papers.check_steps(options, rows)


def test_the_committed_report_is_that_of_the_committed_results():
    """And its results are complete, if there are some."""
    rows = records.read(papers.HERE / "results.csv")
    found = report.results_by_dataset(rows)
    drawn = [path.stem for path in papers.HERE.glob("*.png")]
    in_order = [name for name in report.figures.FIGURES if name in drawn]
    readme = (papers.HERE / "README.md").read_text()
    assert readme == report.readme(found, in_order)
    if not rows:
        assert report.UNRUN in readme
        assert not drawn
    for each in found:
        assert set(each.names()) == set(experiments.configurations())
        assert each.seeds >= 8
        assert in_order == list(report.figures.FIGURES)


def test_report_of_complete_results(tmp_path):
    rows = papers_rows.complete_rows()
    summary = report.write(rows, tmp_path)
    assert "not yet run" not in summary
    readme = (tmp_path / "README.md").read_text()
    for name in report.figures.FIGURES:
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
        assert f"({name}.png)" in readme
    for name in experiments.configurations():
        assert f"| {name} |" in readme


@pytest.mark.slow
def test_short_run_is_resumed_and_reported(tmp_path):
    command = ["-m", "benchmarks.papers", "--data", "digits"]
    command += ["--experiments", "groups", "--steps", "3", "--seeds", "2"]
    command += ["--examples", "64", "--output", str(tmp_path)]
    run(*command)
    path = tmp_path / "results.csv"
    first = path.read_text()
    # As if it had been ended while it wrote a line.
    path.write_text(first[: int(0.6 * len(first))])
    complete_lines = path.read_text().splitlines()[:-1]
    assert "Layer norm (one group)" in run(*command, "--workers", "1")
    lines = path.read_text().splitlines()
    assert lines[: len(complete_lines)] == complete_lines
    assert len(lines) == 1 + 4 * (3 * papers.SWEEP_SEEDS + 2)
    for row in csv.DictReader(lines):
        assert 0 <= float(row["validation_error"]) <= 100
    readme = (tmp_path / "README.md").read_text()
    run(*command, "--report")
    assert (tmp_path / "README.md").read_text() == readme
    assert "layer norm, batch 32" in readme
    found = results.Results(records.read(path), "digits")
    assert found.errors(names.grouped(1)).shape == (2, 64)


KILLED = """
import os
import signal
from benchmarks.papers import workers
with workers.executor(1, None) as processes:
    processes.submit(int).result()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_workers_of_a_killed_run_end():
    """The output has no end while a worker holds it open."""
    result = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=100,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_prediction(tmp_path):
    command = ["-m", "benchmarks.papers", "--data", "digits", "--predict"]
    command += ["--experiments", "groups", "--output", str(tmp_path)]
    trainings = 4 * (3 * papers.SWEEP_SEEDS + papers.SEEDS)
    assert f"4 tasks, {trainings} trainings: " in run(*command)
    assert not (tmp_path / "results.csv").exists()


MOCKED = """
import pathlib
import tensorflow_datasets as tfds
from benchmarks.papers import configurations as names, experiments, runs
plan = runs.Plan(pathlib.Path("unused"), 2, 1, 1)
with tfds.testing.mock_data(num_examples=40):
    for name in (names.ghost(4), names.at_rate(names.DN_B, 5)):
        task = runs.Task("cifar10", experiments.configurations()[name], plan)
        for row in runs.train(task):
            print(row["configuration"], row["stage"], row["validation_error"])
"""


@pytest.mark.slow
def test_cifar10_uses_the_same_code():
    lines = run("-c", MOCKED).splitlines()[-5:]
    stages = [line.split()[-2] for line in lines]
    assert stages == ["sweep", "sweep", "sweep", "verdict", "verdict"]
