"""Tests the papers' claims: `python -m benchmarks.papers`, or `make papers`.

Trains, draws figures, and writes README.md with a table of claims. Results
that exist already are used, so an interrupted run can be resumed.
"""

import argparse
import pathlib

from tqdm import tqdm

from benchmarks.papers import prediction
from benchmarks.papers import records
from benchmarks.papers import report
from benchmarks.papers import runs
from benchmarks.papers import workers
from benchmarks.papers.experiments import EXPERIMENTS
from benchmarks.papers.experiments import configurations

HERE = pathlib.Path(__file__).parent
STEPS, SEEDS, SWEEP_SEEDS = 600, 8, 2


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        nargs="+",
        default=["digits_on_photographs", "digits"],
        help="TFDS sets of labelled images; cifar10 and cifar100 download",
    )
    parser.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS))
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="number of seeds"
    )
    parser.add_argument(
        "--sweep-seeds",
        type=int,
        default=SWEEP_SEEDS,
        help="number of seeds per learning rate of a sweep",
    )
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="steps per training"
    )
    parser.add_argument(
        "--examples", type=int, help="number of images per split"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--output", type=pathlib.Path, default=HERE)
    parser.add_argument(
        "--data-dir", help="of TFDS; by default in the output folder"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--report",
        action="store_true",
        help="write README.md and the figures from results.csv only",
    )
    action.add_argument(
        "--predict",
        action="store_true",
        help="measure a few steps, and print how long the run will take",
    )
    options = parser.parse_args(argv)
    options.data_dir = options.data_dir or options.output / "data"
    return options


def tasks_of(options, rows):
    plan = runs.Plan(
        options.data_dir,
        options.steps,
        options.seeds,
        options.sweep_seeds,
        options.examples,
    )
    chosen = configurations(options.experiments)
    return runs.tasks(options.data, chosen, plan, rows)


def check_steps(options, rows):
    """Refuses results of trainings with another number of steps."""
    found = {int(row["steps"]) for row in rows} - {options.steps}
    if found:
        raise SystemExit(
            "All results of one folder must have the same number of steps. "
            f"Received: --steps {options.steps}, and results with "
            f"{min(found)} steps in {options.output}. Pass another --output, "
            "or remove results.csv."
        )


def prepare_data(options):
    """Creates the data sets, which only one process may do."""
    for name in options.data:
        runs.arrays(name, options.data_dir, options.examples)


def predict(tasks, options):
    seconds = prediction.predict(tasks, options.workers)
    count = sum(task.remaining() for task in tasks)
    print(
        f"{len(tasks)} tasks, {count} trainings: {seconds / 60:.0f} minutes "
        f"with {options.workers} processes"
    )


def train(tasks, path, options):
    count = sum(task.remaining() for task in tasks)
    with (
        records.Appender(path) as appender,
        tqdm(total=count, unit="training", mininterval=10) as progress,
    ):
        for row in workers.rows_of(tasks, options.workers):
            appender.append(row)
            progress.set_postfix_str(row["configuration"])
            progress.update()


def main(argv=None):
    options = arguments(argv)
    path = options.output / "results.csv"
    if not options.report:
        rows = records.read(path)
        check_steps(options, rows)
        tasks = tasks_of(options, rows)
        prepare_data(options)
        if options.predict:
            predict(tasks, options)
            return
        train(tasks, path, options)
    print(report.write(records.read(path), options.output))


if __name__ == "__main__":
    main()
