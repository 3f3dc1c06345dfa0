"""Interleaved timing: every candidate in every round, medians over rounds."""

import csv
import datetime
import os
import platform
import statistics
import time


def medians(candidates, rounds):
    """Median milliseconds of each function, by name.

    Rounds are interleaved, so that what else the machine does falls on all
    alike; only ratios within one call mean anything.
    """
    for function in candidates.values():
        function()
        function()
    times = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, function in candidates.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {
        name: 1e3 * statistics.median(values) for name, values in times.items()
    }


def environment():
    """What a figure depends on, for each row of a csv."""
    import keras
    import tensorflow as tf

    import keras_norms

    return {
        "date": datetime.date.today().isoformat(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras_norms": keras_norms.__version__,
    }


def write(path, rows):
    """Rows of equal keys, as csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
