"""All trainings of a configuration: a sweep over rates, then the verdict's."""

import dataclasses
import functools
import pathlib
import time

from benchmarks import timing
from benchmarks.papers import records
from benchmarks.papers import results
from benchmarks.papers.configurations import WEIGHTS
from benchmarks.papers.configurations import Configuration

FIRST_SWEEP_SEED = 1000  # other seeds than those of the verdict
DIGITS = {"rate": 6, "seconds": 1}  # after the point; others have 4


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is trained.

    Args:
        data_dir: the folder of the data sets.
        steps: the steps of a training of length 1.
        seeds: the number of seeds of the verdict.
        sweep_seeds: the number of seeds of each rate of a sweep.
        examples: the number of images per split, or `None` for all.
    """

    data_dir: pathlib.Path
    steps: int
    seeds: int
    sweep_seeds: int
    examples: int | None = None

    def sweep(self, configuration):
        """The rates and seeds of the sweep, if there are several rates."""
        if len(configuration.rates) < 2:
            return []
        return [
            (rate, FIRST_SWEEP_SEED + seed)
            for rate in configuration.rates
            for seed in range(self.sweep_seeds)
        ]

    def count(self, configuration):
        """The number of trainings."""
        return len(self.sweep(configuration)) + self.seeds


@dataclasses.dataclass(frozen=True)
class Task:
    """A configuration on a data set, and the rows that exist already."""

    dataset: str
    configuration: Configuration
    plan: Plan
    rows: tuple[dict, ...] = ()

    def swept(self):
        """The rows of the sweep that exist already."""
        wanted = set(self.plan.sweep(self.configuration))
        return [
            row
            for row in self.rows
            if row["stage"] == records.SWEEP and records.pair(row) in wanted
        ]

    def remaining(self):
        """The number of trainings that have no row yet."""
        swept, count = self.swept(), self.plan.count(self.configuration)
        if len(swept) < len(self.plan.sweep(self.configuration)):
            return count - len(swept)
        rate = results.rate_of(self.configuration.rates, swept)
        seeds = {
            records.pair(row)
            for row in self.rows
            if row["stage"] == records.VERDICT
        }
        wanted = {(rate, seed) for seed in range(self.plan.seeds)}
        return count - len(swept) - len(wanted & seeds)


def tasks(datasets, configurations, plan, rows):
    """The tasks with remaining trainings, those that take longest first."""
    existing = {}
    for row in rows:
        keys = row["dataset"], row["configuration"]
        existing.setdefault(keys, []).append(row)
    every_task = [
        Task(
            dataset,
            configuration,
            plan,
            tuple(existing.get((dataset, configuration.name), ())),
        )
        for dataset in datasets
        for configuration in configurations.values()
    ]
    order = sorted(every_task, key=lambda task: -images(task.configuration))
    return [task for task in order if task.remaining() > 0]


def images(configuration):
    """The images of a training, relative to a batch of one."""
    return configuration.batch * configuration.length


@functools.cache
def arrays(dataset, data_dir, examples):
    from tutorials import data

    return data.arrays(dataset, data_dir, examples)


def train(task):
    """Yields one row per training that has none yet."""
    plan, configuration = task.plan, task.configuration
    trainer = trainer_of(task)
    finished = {records.key(row): row for row in task.rows}

    def row_of(stage, rate, seed):
        keys = (task.dataset, configuration.name, stage, rate, seed)
        if keys in finished:
            return finished[keys], False
        start = time.monotonic()
        trainer.train(rate, seed)
        measured = measure(trainer, stage)
        measured["seconds"] = time.monotonic() - start
        named = dict(zip(records.KEYS, keys, strict=True))
        named["steps"] = plan.steps
        environment = timing.layer_environment()
        return rounded({**named, **measured, **environment}), True

    swept = []
    for rate, seed in plan.sweep(configuration):
        row, is_new = row_of(records.SWEEP, rate, seed)
        swept.append(row)
        if is_new:
            yield row
    rate = results.rate_of(configuration.rates, swept)
    for seed in range(plan.seeds):
        row, is_new = row_of(records.VERDICT, rate, seed)
        if is_new:
            yield row


def trainer_of(task):
    """The model and data of a task."""
    # The report needs no TensorFlow.
    from benchmarks.papers.training import Trainer

    plan = task.plan
    loaded, classes = arrays(task.dataset, plan.data_dir, plan.examples)
    return Trainer(task.configuration, loaded, classes, plan.steps)


def measure(trainer, stage):
    """Errors and losses of a trained model, with those of each test image."""
    wrong, losses = trainer.evaluate("validation")
    measured = {
        "validation_error": 100 * wrong.mean(),
        "validation_loss": losses.mean(),
    }
    if stage == records.SWEEP:
        return measured
    wrong, losses = trainer.evaluate("test")
    measured |= {
        "test_error": 100 * wrong.mean(),
        "test_loss": losses.mean(),
        "wrong": records.encode_wrong(wrong),
    }
    if trainer.configuration.early:
        measured["early_wrong"] = records.encode_wrong(trainer.early_wrong)
    if trainer.configuration.weighs:
        measured["losses"] = records.encode_losses(losses)
        measured |= measure_weights(trainer)
    return measured


def measure_weights(trainer):
    """The same with the inference weights that are best on validation."""
    errors, losses = [], []
    for weight in WEIGHTS:
        wrong, cross_entropies = trainer.evaluate("validation", weight)
        errors.append(100 * wrong.mean())
        losses.append(cross_entropies.mean())
    for_error = WEIGHTS[errors.index(min(errors))]
    for_loss = WEIGHTS[losses.index(min(losses))]
    wrong, _ = trainer.evaluate("test", for_error)
    _, cross_entropies = trainer.evaluate("test", for_loss)
    return {
        "weight_for_error": for_error,
        "weight_for_loss": for_loss,
        "weighted_test_error": 100 * wrong.mean(),
        "weighted_test_loss": cross_entropies.mean(),
        "weighted_wrong": records.encode_wrong(wrong),
        "weighted_losses": records.encode_losses(cross_entropies),
        "validation_errors": " ".join(f"{error:.2f}" for error in errors),
        "validation_losses": " ".join(f"{loss:.4f}" for loss in losses),
    }


def rounded(row):
    return {
        name: value
        if isinstance(value, str | int)
        else round(float(value), DIGITS.get(name, 4))
        for name, value in row.items()
    }
