"""The timing of all benchmarks: interleaved medians, ratios and csv.

The measuring loop is `keras_norms/timing.py`, because `python -m keras_norms
benchmark` ships with the package. It is run as a file here: importing the
package would import Keras, which `benchmarks/gpu` does without.
"""

import csv
import ctypes
import datetime
import importlib
import os
import pathlib
import platform
import runpy

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_LOOP = runpy.run_path(str(ROOT / "keras_norms" / "timing.py"))
medians, ratios = _LOOP["medians"], _LOOP["ratios"]


def keep_memory():
    """Keeps the C library from returning freed memory to the system.

    Otherwise, depending on the history of the process, one candidate pays more
    for new pages than for its work, and another does not.
    """
    options = {"M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_MMAP_MAX": (-4, 0)}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for option in options.values() if mallopt else ():
        mallopt(*option)


def environment(*packages, **more):
    """What a figure depends on, for every row of a csv.

    Args:
        packages: names of modules whose versions are recorded.
        more: other columns.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{
            name: importlib.import_module(name).__version__
            for name in packages
        },
        **more,
    }


def layer_environment():
    """The environment of a benchmark of layers."""
    return environment("tensorflow", "keras", "keras_norms")


def write(path, rows):
    """Writes rows with the same keys as csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def add_arguments(parser, csv_name, rounds=None):
    """The options that the benchmarks share."""
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--csv", type=pathlib.Path, default=RESULTS / csv_name)
