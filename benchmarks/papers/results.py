"""Results of one data set by configuration, and choices on validation sets."""

import functools
import math

import numpy as np

from benchmarks.papers import bootstrap
from benchmarks.papers import records


def rate_of(rates, rows):
    """The rate whose mean validation error is lowest in the rows of a sweep.

    The mean cross-entropy decides between equal errors. A single rate needs no
    sweep.
    """
    if len(rates) == 1:
        return rates[0]
    by_rate = {}
    for row in rows:
        measured = (row["validation_error"], row["validation_loss"])
        by_rate.setdefault(float(row["rate"]), []).append(measured)
    return min(by_rate, key=lambda rate: mean_rank(by_rate[rate]))


def mean_rank(measured):
    """A sort key: the mean error, then the mean loss, with NaN last."""
    errors, losses = np.mean(np.array(measured, float), axis=0)
    return float(errors), math.inf if math.isnan(losses) else float(losses)


class Results:
    """The rows of one data set, of which incomplete ones are left out.

    Args:
        rows: rows of results.csv.
        dataset: the name of the data set.
    """

    def __init__(self, rows, dataset):
        self.dataset = dataset
        self._sweeps, verdicts = {}, {}
        for row in rows:
            if row["dataset"] == dataset:
                is_swept = row["stage"] == records.SWEEP
                stage = self._sweeps if is_swept else verdicts
                stage.setdefault(row["configuration"], []).append(row)
        self._rows = {
            name: self._by_seed(name, found)
            for name, found in verdicts.items()
        }
        self.seeds = max(map(len, self._rows.values()), default=0)

    def _by_seed(self, name, rows):
        """The rows with the best rate of the sweep."""
        rates = [float(row["rate"]) for row in rows]
        if name in self._sweeps:
            rates = [rate_of([], self._sweeps[name])]
        return {
            int(row["seed"]): row
            for row in rows
            if float(row["rate"]) == rates[0]
        }

    def names(self):
        """The configurations of which all seeds are trained."""
        return [n for n, rows in self._rows.items() if len(rows) == self.seeds]

    def rows(self, name):
        """The rows of a configuration, one per seed."""
        rows = self._rows.get(name, {})
        if not rows or len(rows) < self.seeds:
            raise KeyError(f"not yet trained on {self.dataset}: {name}")
        return [rows[seed] for seed in sorted(rows)]

    def column(self, name, column):
        """A column of numbers, one per seed."""
        return np.array([float(row[column]) for row in self.rows(name)])

    def curve(self, name, column):
        """The mean over seeds of a column of numbers by inference weight."""
        texts = [row[column].split() for row in self.rows(name)]
        return np.array(texts, float).mean(axis=0)

    def errors(self, name, weighted=False):
        """The resampled mean error, as a fraction."""
        column = "weighted_wrong" if weighted else "wrong"
        return self._means(name, column, records.decode_wrong)

    def early_errors(self, name):
        """The resampled mean error early in training."""
        return self._means(name, "early_wrong", records.decode_wrong)

    def losses(self, name, weighted=False):
        """The resampled mean cross-entropy."""
        column = "weighted_losses" if weighted else "losses"
        return self._means(name, column, records.decode_losses)

    @functools.cache  # noqa: B019  results live as long as the process
    def _means(self, name, column, decode):
        decoded = [decode(row[column]) for row in self.rows(name)]
        return bootstrap.means(np.stack(decoded))

    def diverged(self, name):
        """How many trainings have a loss that is not a number."""
        losses = self.column(name, "test_loss")
        return int(np.count_nonzero(~np.isfinite(losses)))

    def best(self, names):
        """The configuration with the lowest mean validation error."""

        def rank(name):
            columns = ("validation_error", "validation_loss")
            measured = [self.column(name, column) for column in columns]
            return mean_rank(np.transpose(measured))

        return min(names, key=rank)

    def rate(self, name):
        """The rate of a configuration, and where it lies in the sweep."""
        rate = float(self.rows(name)[0]["rate"])
        swept = {float(row["rate"]) for row in self._sweeps.get(name, [])}
        if len(swept) < 2:
            return rate, "fixed"
        ends = {min(swept): "lowest", max(swept): "highest"}
        return rate, ends.get(rate, "middle")
