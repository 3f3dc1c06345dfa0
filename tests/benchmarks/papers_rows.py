"""Rows of results with known errors, without training."""

import numpy as np

from benchmarks.papers import records
from benchmarks.papers.configurations import WEIGHTS
from benchmarks.papers.experiments import configurations


def row(name, stage, rate, seed, wrong=None, validation_error=10.0, **more):
    """One row, as `records.read` returns it."""
    found = {
        **dict.fromkeys(records.COLUMNS, ""),
        "dataset": "d",
        "configuration": name,
        "stage": stage,
        "rate": str(rate),
        "seed": str(seed),
        "steps": "600",
        "validation_error": str(validation_error),
        "validation_loss": "0.5",
    }
    if wrong is not None:
        found["wrong"] = records.encode_wrong(wrong)
        found["test_error"] = str(100 * np.mean(wrong))
        found["test_loss"] = "0.5"
    return {**found, **more}


def outcomes(error, seeds=6, images=400, seed=0):
    """A random matrix of errors, `[seeds, images]`."""
    random = np.random.default_rng(seed)
    return random.random((seeds, images)) < error


def verdict_rows(name, error, rate=0.1, **more):
    """The rows of a configuration with a mean error."""
    matrix = outcomes(error)
    return [
        row(name, records.VERDICT, rate, seed, wrong, **more)
        for seed, wrong in enumerate(matrix)
    ]


def complete_rows(seeds=3, images=100):
    """Rows of all configurations, whose errors are random."""
    random = np.random.default_rng(0)
    rows = []
    for name, configuration in configurations().items():
        if len(configuration.rates) > 1:
            rows += [
                row(name, records.SWEEP, rate, 1000)
                for rate in configuration.rates
            ]
        for seed in range(seeds):
            wrong = random.random(images) < random.uniform(0.2, 0.4)
            losses = random.exponential(size=images)
            more = {}
            if configuration.weighs:
                curve = " ".join(f"{1 + weight:.4f}" for weight in WEIGHTS)
                more = {
                    "losses": records.encode_losses(losses),
                    "weighted_losses": records.encode_losses(losses / 2),
                    "weighted_wrong": records.encode_wrong(wrong),
                    "weight_for_error": "0.0",
                    "weight_for_loss": "0.1",
                    "validation_losses": curve,
                }
            if configuration.early:
                more["early_wrong"] = records.encode_wrong(wrong)
            rate = configuration.rates[0]
            stage = records.VERDICT
            rows.append(row(name, stage, rate, seed, wrong, **more))
    return rows
