"""Exports of every layer: `python -m benchmarks.exports`.

Converts a small model around each layer to each format, and runs it in the
format's runtime, in one process per layer. The csv has the largest difference
of an output from Keras's, relative to the largest output, the mean difference,
the number of operations, and the versions.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import timing
from benchmarks.exports import subjects

PREFIX = "RESULT "


def export(package, name):
    """Prints a line for each format."""
    import numpy as np

    from benchmarks.exports import formats

    model = subjects.model(package, name)
    calibration, x = subjects.data()
    wanted = np.array(model(x, training=False))
    for run in formats.FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            y, operations = run(model, x, calibration, pathlib.Path(folder))
        error = np.abs(y - wanted)
        row = {
            "package": package,
            "layer": name,
            "format": run.__name__,
            "largest_error": float(error.max() / np.abs(wanted).max()),
            "mean_error": float(error.mean() / np.abs(wanted).mean()),
            "operations": operations,
        }
        print(PREFIX + json.dumps(row), flush=True)


def in_process(package, *names):
    """The rows of layers, and the exit status of their process."""
    command = [sys.executable, "-m", "benchmarks.exports", "--layers"]
    process = subprocess.run(
        [*command, package, *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=timing.ROOT,
    )
    rows = [
        json.loads(line.removeprefix(PREFIX))
        for line in process.stdout.splitlines()
        if line.startswith(PREFIX)
    ]
    return rows, process.returncode, process.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", nargs="+", help="package and classes")
    parser.add_argument(
        "--csv", type=pathlib.Path, default=timing.RESULTS / "exports.csv"
    )
    options = parser.parse_args()
    if options.layers:
        package, *names = options.layers
        for name in names:
            export(package, name)
        return
    rows = []
    for package, name in subjects.names():
        found, status, errors = in_process(package, name)
        for row in found:
            rows.append(row)
            print(
                f"{package:11} {name:38} {row['format']:15} "
                f"{row['largest_error']:.1e} {row['mean_error']:.1e} "
                f"{row['operations']}"
            )
        if status:
            print(f"{package} {name}: exit status {status}\n{errors[-2000:]}")
    environment = timing.layer_environment()
    timing.write(options.csv, [{**row, **environment} for row in rows])


if __name__ == "__main__":
    main()
