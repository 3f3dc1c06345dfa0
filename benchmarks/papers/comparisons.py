"""What claims compare: ratios of errors or of cross-entropies, as logarithms.

Each function returns a function of `Results` that returns a `Comparison`.
"""

import numpy as np

from benchmarks.papers import bootstrap
from benchmarks.papers.verdicts import Comparison

# An error of 0 in a replicate has a logarithm, too.
SMALLEST = 1e-6


def log_ratio(first, second):
    """The logarithm of a ratio of means."""
    floor = np.maximum
    return np.log(floor(first, SMALLEST)) - np.log(floor(second, SMALLEST))


def between(first, second, weighted=False):
    """The error of one configuration over that of another.

    Args:
        first: the name of a configuration.
        second: the name of the configuration that it is compared with.
        weighted: whether the first is evaluated with example weighing.
    """

    def compare(results):
        pair = (results.errors(first, weighted), results.errors(second))
        remark = percentages(pair) + divergence(results, first, second)
        return Comparison(bootstrap.estimate(log_ratio, *pair), remark)

    return compare


def early(first, second):
    """The same ratio after a third of the steps."""

    def compare(results):
        pair = results.early_errors(first), results.early_errors(second)
        estimate = bootstrap.estimate(log_ratio, *pair)
        return Comparison(estimate, percentages(pair))

    return compare


def percentages(errors):
    return " and ".join(f"{100 * error.mean:.1f}%" for error in errors)


def divergence(results, *names):
    """A remark on trainings that diverged."""
    counts = [results.diverged(name) for name in names]
    if not any(counts):
        return ""
    numbers = " and ".join(map(str, counts))
    return f"; {numbers} of {results.seeds} diverged"


def weighing(name, measure="errors"):
    """An error with example weighing over that without it.

    Each training has the weight that is best on the validation set.
    """

    def compare(results):
        measured = getattr(results, measure)
        pair = (measured(name, True), measured(name))
        remark = percentages(pair)
        column = "weight_for_error"
        if measure == "losses":
            remark = " and ".join(f"{each.mean:.3f}" for each in pair)
            column = "weight_for_loss"
        weights = results.column(name, column)
        remark += f"; weights {weights.min():g} to {weights.max():g}"
        return Comparison(bootstrap.estimate(log_ratio, *pair), remark)

    return compare


def best(candidates, reference):
    """The candidate with the best validation error against a reference.

    Args:
        candidates: configurations by what a remark calls them.
        reference: a configuration, or more candidates.
    """

    def compare(results):
        labels = []

        def choose(options):
            if isinstance(options, str):
                return options
            label_of = {name: label for label, name in options.items()}
            name = results.best(list(label_of))
            labels.append(str(label_of[name]))
            return name

        first, second = choose(candidates), choose(reference)
        pair = results.errors(first), results.errors(second)
        estimate = bootstrap.estimate(log_ratio, *pair)
        remark = f"{percentages(pair)}; best: {' and '.join(labels)}"
        return Comparison(estimate, remark)

    return compare


def change_of_ratio(first, second, measure="errors"):
    """A ratio over another ratio, each of two configurations.

    Args:
        first: the pair of configurations of one ratio.
        second: the pair of the other. A configuration is a name, or a name and
            whether it is evaluated with example weighing.
        measure: `"errors"` or `"losses"`.
    """

    def statistic(a, b, c, d):
        return log_ratio(a, b) - log_ratio(c, d)

    def compare(results):
        measured = getattr(results, measure)
        four = [
            measured(each) if isinstance(each, str) else measured(*each)
            for each in (*first, *second)
        ]
        changes = [
            100 * (one.mean / other.mean - 1)
            for one, other in (four[:2], four[2:])
        ]
        remark = " and ".join(f"{change:+.1f}%" for change in changes)
        return Comparison(bootstrap.estimate(statistic, *four), remark)

    return compare
