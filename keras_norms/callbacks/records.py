"""What `NormalizationMonitor` reports for a layer and an epoch."""

import csv
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple


class NormalizationRecord(NamedTuple):
    """The measurements of a normalization layer after an epoch.

    See `NormalizationMonitor` for their definitions.
    """

    epoch: int
    path: str
    mean_drift: float
    variance_drift: float
    similarity: float
    dead_channels: float
    replica_disagreement: float
    independent_values: float


MEASURES = NormalizationRecord._fields[2:]


def write_csv(records: Sequence[NormalizationRecord], path: Any) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(NormalizationRecord._fields)
        writer.writerows(records)


def draw_heat_map(records: Sequence[NormalizationRecord], path: Any) -> None:
    """Draws a figure with a panel per measure: layers against epochs."""
    import numpy as np
    from matplotlib import pyplot as plt

    paths = list(dict.fromkeys(record.path for record in records))
    epochs = sorted({record.epoch for record in records})
    height = 1.8 + 0.18 * len(paths)
    figure, panels = plt.subplots(
        1,
        len(MEASURES),
        sharey=True,
        figsize=(4 + 2.4 * len(MEASURES), height),
        layout="constrained",
    )
    for name, panel in zip(MEASURES, panels, strict=True):
        values = np.full((len(paths), len(epochs)), np.nan)
        for record in records:
            row, column = paths.index(record.path), epochs.index(record.epoch)
            values[row, column] = getattr(record, name)
        shown_values = np.ma.masked_invalid(values)
        limits: Any = {"norm": "log"}
        if name != "independent_values" or not shown_values.count():
            # 0 has the darkest color, also where nothing is larger.
            highest = np.ma.filled(shown_values.max(), 0) or 1
            lowest = np.ma.filled(shown_values.min(), 0)
            limits = {"vmin": min(0, lowest), "vmax": highest}
        image = panel.imshow(
            shown_values, aspect="auto", interpolation="nearest", **limits
        )
        panel.set_title(name.replace("_", " "), fontsize=9)
        panel.set_xlabel("epoch")
        shown = range(0, len(epochs), -(-len(epochs) // 6))
        panel.set_xticks(shown, [str(epochs[k]) for k in shown])
        figure.colorbar(image, ax=panel, fraction=0.08)
    panels[0].set_yticks(range(len(paths)), paths, fontsize=6)
    figure.savefig(path, dpi=150)
    plt.close(figure)
