"""Tests the papers' claims: `python -m benchmarks.papers`, or `make papers`.

Trains, draws figures, and writes README.md with a table of claims. Results
that exist already are kept, so an interrupted run can be resumed.
"""

import argparse
import csv
import multiprocessing
import pathlib

from tqdm import tqdm

from benchmarks.papers import report
from benchmarks.papers import workers
from benchmarks.papers.experiments import EXPERIMENTS

HERE = pathlib.Path(__file__).parent
COLUMNS = [
    *("dataset", "experiment", "method", "condition", "seed"),
    *(
        f"{split}_{measure}"
        for split in ("validation", "test", "train")
        for measure in ("error", "loss")
    ),
    *("errors", "similarities"),
    *("date", "machine", "cores", "python"),
    *("tensorflow", "keras", "keras_norms"),
]


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        nargs="+",
        default=["digits", "photographs"],
        help="TFDS sets of labelled images; cifar10 and cifar100 download",
    )
    parser.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS))
    parser.add_argument(
        "--seeds", type=int, default=10, help="number of seeds"
    )
    parser.add_argument("--epochs", type=int)
    parser.add_argument(
        "--examples", type=int, help="number of training and of test images"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="one configuration each, two seeds, one epoch, 64 examples",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--output", type=pathlib.Path, default=HERE)
    parser.add_argument(
        "--data-dir", help="of TFDS; by default in the output folder"
    )
    options = parser.parse_args(argv)
    options.data_dir = options.data_dir or options.output / "data"
    if options.smoke:
        options.seeds, options.epochs, options.examples = 2, 1, 64
    return options


def read(path):
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def remaining(options, rows):
    """Yields configurations and their seeds that have no results yet."""
    key_columns = ("dataset", "experiment", "method", "condition", "seed")
    done = {tuple(row[name] for name in key_columns) for row in rows}
    for dataset in options.data:
        for name in options.experiments:
            configs = list(EXPERIMENTS[name]())
            for config in configs[-1:] if options.smoke else configs:
                keys = config.keys(dataset)
                seeds = [
                    seed
                    for seed in range(options.seeds)
                    if (*keys, str(seed)) not in done
                ]
                if seeds:
                    yield config, dataset, seeds


def main(argv=None):
    options = arguments(argv)
    path = options.output / "results.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = [
        (*task, options.data_dir, options.examples, options.epochs)
        for task in remaining(options, read(path))
    ]
    # Data sets that do not exist yet must be created by one process.
    from tutorials import data

    for name in options.data:
        data.load(name, options.data_dir)
    context = multiprocessing.get_context("spawn")
    with (
        # New processes, because TensorFlow never frees traced functions.
        context.Pool(
            options.workers, workers.prepare, maxtasksperchild=20
        ) as pool,
        path.open("a", newline="") as file,
        tqdm(total=len(tasks), unit="configuration") as progress,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        if not path.stat().st_size:
            writer.writeheader()
        for rows in pool.imap_unordered(workers.train, tasks):
            writer.writerows(rows)
            file.flush()
            progress.update()
    print(report.write(read(path), options.output))


if __name__ == "__main__":
    main()
