"""Results by key, and differences paired by seed."""

import dataclasses
import math
import re

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean over seeds and half of its 95% confidence interval."""

    mean: float
    margin: float
    seeds: int

    def __str__(self):
        return f"{self.mean:+.2f} ± {self.margin:.2f}"


def difference(values):
    values = np.asarray(values, float)
    if len(values) < 2:
        return Difference(float(values.mean()), math.inf, len(values))
    error = values.std(ddof=1) / math.sqrt(len(values))
    margin = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Difference(float(values.mean()), margin, len(values))


def _natural(name):
    """A sort key by which ghost batches of 4 come before those of 16."""
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]


class Results:
    """Rows of one data set."""

    def __init__(self, rows, dataset):
        self.dataset = dataset
        self._rows = {}
        for row in rows:
            if row["dataset"] == dataset:
                keys = row["experiment"], row["method"], row["condition"]
                self._rows.setdefault(keys, {})[int(row["seed"])] = row

    def values(self, experiment, method, condition, column="test_error"):
        """A column by seed, in the order of seeds."""
        rows = self._rows[experiment, method, str(condition)]
        return np.array([float(rows[s][column]) for s in sorted(rows)])

    def series(self, experiment, method, condition, column):
        """A column of values by epoch, of shape [seeds, epochs]."""
        rows = self._rows[experiment, method, str(condition)]
        texts = [rows[seed][column].split() for seed in sorted(rows)]
        return np.array(texts, float)

    def mean(self, *keys, **more):
        return self.values(*keys, **more).mean()

    def conditions(self, experiment, method):
        """The conditions of a method in ascending order."""
        found = [
            condition
            for (name, of, condition) in self._rows
            if (name, of) == (experiment, method)
        ]
        return sorted(found, key=float) or self._missing(experiment, method)

    def methods(self, experiment):
        """The methods of an experiment, sorted by name."""
        names = (of for (name, of, _) in self._rows if name == experiment)
        return sorted(set(names), key=_natural) or self._missing(experiment)

    def _missing(self, *keys):
        raise KeyError(f"not trained on {self.dataset}: {', '.join(keys)}")

    def chosen(self, experiment, method, measure="loss"):
        """The condition with the best results on the validation half."""
        return min(
            self.conditions(experiment, method),
            key=lambda condition: self.mean(
                experiment, method, condition, column=f"validation_{measure}"
            ),
        )
