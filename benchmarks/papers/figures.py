"""One figure per experiment, with one panel per data set."""

import matplotlib
import numpy as np

from benchmarks.papers import claims
from benchmarks.papers.experiments import THRESHOLDS
from benchmarks.papers.results import difference

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib import ticker

# The palette of Okabe and Ito, which suits every type of color vision.
COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
MARKERS = "os^DvP"
SIZE = 4.2  # inches of a panel


def panels(results, title, count=1):
    """Creates a figure, and its axes of shape `[count, data sets]`."""
    figure, axes = plt.subplots(
        count,
        len(results),
        figsize=(1 + SIZE * len(results), SIZE * count),
        layout="constrained",
        squeeze=False,
    )
    figure.suptitle(title)
    for row in axes:
        for axis, each in zip(row, results, strict=True):
            axis.set_title(each.dataset)
            axis.grid(alpha=0.3)
    return figure, axes


def lines(axis, results, experiment, column="test_error", methods=None):
    """Plots means and 95% intervals by condition, one line per method."""
    for index, method in enumerate(methods or results.methods(experiment)):
        conditions = results.conditions(experiment, method)
        found = [
            difference(results.values(experiment, method, c, column))
            for c in conditions
        ]
        axis.errorbar(
            [float(condition) for condition in conditions],
            [each.mean for each in found],
            [each.margin for each in found],
            label=method,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            capsize=3,
        )


def logarithmic(axis, results, experiment):
    """A logarithmic axis with ticks at the trained conditions."""
    method = results.methods(experiment)[0]
    ticks = [float(c) for c in results.conditions(experiment, method)]
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def steep(axis):
    """A logarithmic axis of values with decimal numbers as labels."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(ticker.NullFormatter())


def below(figure, axes):
    """Draws one legend for all panels, below them."""
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


def batch_size(results):
    title = "Error against images per replica, of two replicas"
    figure, axes = panels(results, title)
    for axis, each in zip(axes[0], results, strict=True):
        lines(axis, each, "batch_size")
        logarithmic(axis, each, "batch_size")
        axis.invert_xaxis()
        axis.set_xlabel("images per replica and step")
        axis.set_ylabel("test error, %")
    below(figure, axes)
    return figure


def ghost_size(results):
    title = "Error against the size of ghost batches, in a batch of 64"
    figure, axes = panels(results, title)
    for axis, each in zip(axes[0], results, strict=True):
        lines(axis, each, "ghost_size")
        logarithmic(axis, each, "ghost_size")
        axis.set_xlabel("examples of a ghost batch")
        axis.set_ylabel("test error, %")
    return figure


def weighing(results):
    title = "Inference example weighing: cross-entropy and error"
    figure, axes = panels(results, title, count=2)
    columns = {
        "test_loss": "test cross-entropy",
        "test_error": "test error, %",
    }
    for row, (column, label) in zip(axes, columns.items(), strict=True):
        for axis, each in zip(row, results, strict=True):
            lines(axis, each, "weighing", column)
            axis.set_xscale("symlog", linthresh=0.01)
            steep(axis)
            axis.set_xlabel("share of an example's own statistics, alpha")
            axis.set_ylabel(label)
    below(figure, axes)
    return figure


def weight_decay(results):
    title = "Weight decay on gamma and beta"
    figure, axes = panels(results, title)
    for axis, each in zip(axes[0], results, strict=True):
        lines(axis, each, "weight_decay")
        axis.set_xticks([0, 1], ["off", "on"])
        axis.set_xlim(-0.3, 1.3)
        axis.set_ylabel("test error, %")
    axes[0, 0].legend()
    return figure


def dynamic(results):
    title = "Dynamic normalization"
    figure, axes = panels(results, title, count=2)
    labels = {
        "dynamic_rate": "learning rate, times the usual",
        "dynamic_batch": "batch",
    }
    for row, (experiment, label) in zip(axes, labels.items(), strict=True):
        for axis, each in zip(row, results, strict=True):
            lines(axis, each, experiment)
            logarithmic(axis, each, experiment)
            axis.set_xlabel(label)
            axis.set_ylabel("test error, %")
            if experiment == "dynamic_rate":
                steep(axis)
    below(figure, axes)
    return figure


def unified(results):
    title = "Unified batch normalization"
    figure, axes = panels(results, title, count=3)
    for column, each in enumerate(results):
        error, similarity, sweep = axes[:, column]
        for index, method in enumerate(each.methods("unified")):
            threshold = each.chosen("unified", method, "error")
            for axis, name in (
                (error, "errors"),
                (similarity, "similarities"),
            ):
                values = each.series("unified", method, threshold, name)
                axis.plot(
                    np.arange(1, values.shape[1] + 1),
                    values.mean(axis=0),
                    label=f"{method}, {threshold}",
                    color=COLOURS[index],
                    marker=MARKERS[index],
                )
        steep(error)
        error.set_ylabel("test error, %")
        similarity.set_ylabel("mean similarity over layers")
        for axis in (error, similarity):
            axis.set_xlabel("epoch")
        swept = [
            method
            for method in each.methods("unified")
            if len(each.conditions("unified", method)) > 1
        ]
        lines(sweep, each, "unified", "validation_error", swept)
        plain = each.mean(
            "unified", claims.NORM, 1.0, column="validation_error"
        )
        sweep.axhline(plain, color="black", label=claims.NORM)
        sweep.set_xticks(THRESHOLDS)
        sweep.set_xlabel("condensation threshold")
        sweep.set_ylabel("validation error, %")
    for axis in axes[[0, 2]].flat:
        axis.legend(fontsize="small")
    return figure


FIGURES = {
    "batch_size": batch_size,
    "ghost_size": ghost_size,
    "weighing": weighing,
    "weight_decay": weight_decay,
    "dynamic": dynamic,
    "unified": unified,
}


def draw(results, experiment, path):
    figure = FIGURES[experiment](results)
    figure.savefig(path, dpi=110)
    plt.close(figure)
