"""The table, the figure and the conclusion from errors[method][images]."""

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# The palette of Okabe and Ito, which suits every type of color vision.
STYLES = [
    ("#d55e00", "o"),
    ("#0072b2", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
]


def summary(errors):
    """Mean and sample deviation over seeds (0 for one), by method and size."""
    return {
        name: {
            images: (np.mean(runs), np.std(runs, ddof=min(1, len(runs) - 1)))
            for images, runs in by_images.items()
        }
        for name, by_images in errors.items()
    }


def table(errors):
    """A Markdown table with a row per method."""
    lines = [["images per replica", *next(iter(errors.values()))]]
    lines.append(["-" * 24, *["-" * 12] * (len(lines[0]) - 1)])
    for name, row in summary(errors).items():
        lines.append(
            [name, *(f"{mean:.2f} ± {std:.2f}" for mean, std in row.values())]
        )
    return "\n".join(
        f"| {name:24} | " + " | ".join(f"{cell:>12}" for cell in cells) + " |"
        for name, *cells in lines
    )


def draw(errors, path, dataset):
    """Draws the paper's figure, in which batches shrink to the right."""
    plot, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for (name, row), (colour, marker) in zip(
        summary(errors).items(), STYLES, strict=True
    ):
        means, stds = zip(*row.values(), strict=True)
        axes.errorbar(
            list(row),
            means,
            stds,
            label=name,
            color=colour,
            marker=marker,
            capsize=3,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(row), map(str, row))
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.set_xlabel("images per replica and step, of two replicas (log scale)")
    axes.set_ylabel("test error, %")
    axes.set_title(f"{dataset}: error against batch size")
    axes.grid(alpha=0.3)
    axes.legend()
    plot.savefig(path, dpi=150)
    plt.close(plot)


LOCAL, CROSS = "local batch norm", "cross-replica batch norm"
GROUP, BATCH_GROUP = "group norm", "batch-group norm"


def conclusion(errors):
    """The papers' claims about the ends of the figure, and verdicts.

    A difference counts if it exceeds two standard errors, which is rough for
    few seeds. The claim of no difference also needs a margin below a point.
    """
    rows = summary(errors)
    few, many = min(errors[GROUP]), max(errors[GROUP])
    seeds = len(errors[GROUP][few])
    if few == many or seeds < 2:
        return "One batch size, or one seed: nothing to conclude."

    def shows(claim, expected, one, other):
        (method, images), (rival, of) = one, other
        first, first_std = rows[method][images]
        second, second_std = rows[rival][of]
        difference = first - second
        margin = 2 * np.hypot(first_std, second_std) / np.sqrt(seeds)
        sign = np.sign(difference) * (abs(difference) > margin)
        if sign == expected and (expected or margin < 1):
            verdict = "agrees"
        else:
            verdict = "does NOT agree" if sign else "cannot tell"
        return (
            f"- {claim}: {verdict}.\n"
            f"  {method} at {images} {first:.2f}%, {rival} at {of} "
            f"{second:.2f}%: {difference:+.2f} ± {margin:.2f}"
        )

    return "\n".join(
        [
            "The papers' claims and these runs (± two standard errors):",
            shows(
                "Few images make batch norm worse (Wu and He 2018)",
                1,
                (LOCAL, few),
                (LOCAL, many),
            ),
            shows(
                "They do not change group norm (Wu and He 2018)",
                0,
                (GROUP, few),
                (GROUP, many),
            ),
            shows(
                "With few images group norm is better (Wu and He 2018)",
                1,
                (LOCAL, few),
                (GROUP, few),
            ),
            shows(
                "With few, synchronization helps (Peng et al. 2018)",
                1,
                (LOCAL, few),
                (CROSS, few),
            ),
            shows(
                "With few, batch-group norm is better than group norm "
                "(Summers and Dinneen 2020)",
                1,
                (GROUP, few),
                (BATCH_GROUP, few),
            ),
        ]
    )
