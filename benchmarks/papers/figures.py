"""One figure per experiment, with one panel per data set."""

import matplotlib

from benchmarks.papers import bootstrap
from benchmarks.papers import configurations as names

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# The palette of Okabe and Ito, which suits every type of color vision.
COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
MARKERS = "os^DvP"
SIZE = 4.2  # inches of a panel
ERROR = "test error, %"


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


def line(axis, results, label, found, index, weighted=False, style="-"):
    """Plots errors with 95% intervals.

    Args:
        axis: the axes.
        results: the `Results`.
        label: the label in the legend.
        found: the names of configurations by their positions on the x axis.
        index: the number of the color and the marker.
        weighted: whether the errors are those with example weighing.
        style: the style of the line between errors.
    """
    means, ends = [], []
    for name in found.values():
        errors = results.errors(name, weighted)
        estimate = bootstrap.estimate(lambda x: x, errors)
        means.append(100 * estimate.value)
        ends.append(100 * (estimate.interval()[1] - estimate.value))
    axis.errorbar(
        list(found),
        means,
        ends,
        label=label,
        color=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)],
        linestyle=style,
        capsize=3,
    )


def ticks(axis, positions, labels=None, logarithmic=True):
    """Ticks at the positions of configurations."""
    if logarithmic:
        axis.set_xscale("log", base=2)
    axis.set_xticks(
        list(positions), labels or [f"{each:g}" for each in positions]
    )
    axis.minorticks_off()


def below(figure, axes):
    """Draws one legend for all panels, below them."""
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


def batch_size(results):
    figure, axes = panels(results, "Few images: per replica, and per step", 2)
    norm, group = names.BATCH_NORM, names.GROUP_NORM
    batch_norm, group_norm = names.in_batch(norm), names.in_batch(group)
    replicas = {count: names.per_replica(count) for count in (2, 8)}
    replicas[32] = batch_norm
    steps = {
        names.BATCH_NORM: {2: names.small(norm), 32: batch_norm},
        names.GROUP_NORM: {2: names.small(group), 32: group_norm},
    }
    for (top, bottom), each in zip(axes.T, results, strict=True):
        line(top, each, names.BATCH_NORM, replicas, 0)
        line(
            top, each, names.GROUP_NORM, dict.fromkeys(replicas, group_norm), 1
        )
        top.set_xlabel("images per replica, of 32 per step")
        for index, (label, found) in enumerate(steps.items()):
            line(bottom, each, label, found, index)
        batch_group = {2: names.small(names.BATCH_GROUP)}
        line(bottom, each, names.BATCH_GROUP, batch_group, 2)
        bottom.set_xlabel("images per step, with equal images in all")
        for axis in (top, bottom):
            ticks(axis, (2, 8, 32))
            axis.set_ylabel(ERROR)
    below(figure, axes[1:])
    return figure


def groups(results):
    figure, axes = panels(results, "Group norm of 16 channels")
    positions = {1: 1, 2: 2, names.GROUPS: names.GROUPS, 8: 8, 16: -1}
    found = {
        position: names.grouped(count) for position, count in positions.items()
    }
    for axis, each in zip(axes[0], results, strict=True):
        line(axis, each, names.GROUP_NORM, found, 1)
        ticks(axis, positions)
        axis.set_xlabel("groups (1: layer norm, 16: instance norm)")
        axis.set_ylabel(ERROR)
    return figure


def ghosts(results):
    title = "Ghost batches in a batch of 128, and example weighing"
    figure, axes = panels(results, title, 2)
    sizes = (*names.GHOSTS, names.LARGE)
    found = {size: names.ghost(size) for size in sizes}
    for (top, bottom), each in zip(axes.T, results, strict=True):
        line(top, each, "inference weight 0", found, 0)
        line(top, each, "best inference weight", found, 1, weighted=True)
        ticks(top, sizes)
        top.set_xlabel("examples of a ghost batch")
        top.set_ylabel(ERROR)
        top.legend()
        for index, size in enumerate((2, 8, 32, names.LARGE)):
            bottom.plot(
                names.WEIGHTS,
                each.curve(names.ghost(size), "validation_losses"),
                label=f"size {size}",
                color=COLOURS[index],
                marker=MARKERS[index],
            )
        bottom.set_xscale("symlog", linthresh=0.01)
        bottom.set_xlabel("inference weight, alpha")
        bottom.set_ylabel("validation cross-entropy")
        bottom.legend()
    return figure


def weight_decay(results):
    figure, axes = panels(results, "Weight decay of a residual network")
    for axis, each in zip(axes[0], results, strict=True):
        for index, decays_affine in enumerate((True, False)):
            label = "all weights" if decays_affine else "not gamma and beta"
            found = {
                dose: names.decay(dose, decays_affine) for dose in names.DOSES
            }
            line(axis, each, label, found, index)
        ticks(axis, names.DOSES)
        axis.set_xlabel("decay, summed over the training")
        axis.set_ylabel(ERROR)
    axes[0, 0].legend()
    return figure


def dynamic(results):
    figure, axes = panels(results, "Dynamic normalization", 2)
    batches = (4, 16, 32)
    rates = [names.RATE * factor for factor in names.HIGH]
    for (top, bottom), each in zip(axes.T, results, strict=True):
        for index, method in enumerate((names.BATCH_NORM, names.DN_B)):
            found = {batch: names.in_batch(method, batch) for batch in batches}
            line(top, each, method, found, index)
        line(top, each, names.DN_C, {32: names.in_batch(names.DN_C)}, 2)
        ticks(top, batches)
        top.set_xlabel("images per step")
        methods = (names.BATCH_NORM, names.DN_B, names.BOUNDED)
        for index, method in enumerate(methods):
            high = [names.at_rate(method, factor) for factor in names.HIGH]
            found = dict(zip(rates, high, strict=True))
            line(bottom, each, method, found, (0, 1, 3)[index])
        ticks(bottom, rates)
        bottom.set_xlabel("learning rate")
        for axis in (top, bottom):
            axis.set_ylabel(ERROR)
            axis.legend()
    return figure


def unified(results):
    figure, axes = panels(
        results, "Unified batch normalization and its stages"
    )
    stages = (names.GATE, names.CALIBRATIONS, names.DEPTHWISE)
    bounds = [f"bound {bound:g}" for bound in names.BOUNDS[1:]]
    labels = [names.BATCH_NORM, *stages, "no bound", *bounds]
    for axis, each in zip(axes[0], results, strict=True):
        for index, batch in enumerate((names.BATCH, names.LARGE)):
            parts = [names.in_batch(stage, batch) for stage in stages]
            both = [names.unified_norm(b, batch) for b in names.BOUNDS]
            norm = names.in_batch(names.BATCH_NORM, batch)
            found = dict(enumerate([norm, *parts, *both]))
            line(axis, each, f"batch {batch}", found, index, style="")
        ticks(axis, range(len(labels)), labels, logarithmic=False)
        axis.tick_params(axis="x", rotation=30)
        axis.set_ylabel(ERROR)
    axes[0, 0].legend()
    return figure


FIGURES = {
    "batch_size": batch_size,
    "groups": groups,
    "ghosts": ghosts,
    "weight_decay": weight_decay,
    "dynamic": dynamic,
    "unified": unified,
}


def draw(results, name, path):
    figure = FIGURES[name](results)
    figure.savefig(path, dpi=110)
    plt.close(figure)
