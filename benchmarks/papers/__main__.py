"""Tries the papers' claims: `python -m benchmarks.papers`, or `make papers`.

Trains, draws, and writes README.md with a table of claims. What is in the
results already is not trained again: a run that was cut short goes on.
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
        f"{part}_{measure}"
        for part in ("validation", "test", "train")
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
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--epochs", type=int)
    parser.add_argument(
        "--examples", type=int, help="only so many, of training and of test"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="two seeds, one epoch, 64 examples, a configuration of each",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--output", type=pathlib.Path, default=HERE)
    parser.add_argument(
        "--data-dir", help="of TFDS; the default lies in the output folder"
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
    """Configurations and the seeds of them that are still to be trained."""
    known_by = ("dataset", "experiment", "method", "condition", "seed")
    done = {tuple(row[name] for name in known_by) for row in rows}
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
    # One after the other: sets are made where they are not.
    from tutorials import data

    for name in options.data:
        data.load(name, options.data_dir)
    context = multiprocessing.get_context("spawn")
    with (
        # Not for ever: TensorFlow keeps what it has traced.
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
