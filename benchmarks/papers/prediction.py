"""Predicts how long a run takes, from a few steps of each kind of training.

Processor time is used, because other load on the machine changes it less than
the time on the clock.
"""

import dataclasses
import time

from benchmarks.papers import runs
from benchmarks.papers import workers
from benchmarks.papers.configurations import WEIGHTS

FEW, MANY = 10, 110  # steps, whose difference is the time of a step


def kind(task):
    """What determines the time per step."""
    configuration = task.configuration
    arguments = configuration.arguments
    parts = [task.dataset, configuration.layer]
    if "ghost_batch_size" in arguments:
        parts.append("ghost batches")
    if "bound" in arguments:
        parts.append(arguments.get("affine", "depthwise"))
    return (*parts, f"batch {configuration.batch}")


@dataclasses.dataclass(frozen=True)
class Cost:
    """The seconds of a new model, a step, and an evaluation by split."""

    start: float
    step: float
    evaluation: dict[str, float]

    def seconds(self, task):
        """The seconds of the remaining trainings of a task."""
        configuration, plan = task.configuration, task.plan
        validation = self.evaluation["validation"]
        test = self.evaluation["test"]
        steps = plan.steps * configuration.length
        verdict = test
        if configuration.weighs:
            verdict += len(WEIGHTS) * validation + 2 * test
        share = plan.seeds / plan.count(configuration)
        training = steps * self.step + validation + share * verdict
        return self.start + task.remaining() * training


def measure(task):
    """The cost of a kind of training, in a worker."""
    configuration = dataclasses.replace(task.configuration, length=1)
    short = dataclasses.replace(task, configuration=configuration)
    # Reading the data is not part of it.
    runs.arrays(task.dataset, task.plan.data_dir, task.plan.examples)
    began = time.process_time()
    trainer = runs.trainer_of(short)
    # The first calls trace.
    duration(trainer, FEW)
    trainer.evaluate("validation")
    start = time.process_time() - began
    few, many = duration(trainer, FEW), duration(trainer, MANY)
    evaluation = {}
    for split in ("validation", "test"):
        began = time.process_time()
        trainer.evaluate(split)
        evaluation[split] = time.process_time() - began
    return Cost(start, max(0.0, many - few) / (MANY - FEW), evaluation)


def duration(trainer, steps):
    """The seconds of a training with a number of steps."""
    trainer.steps = steps
    start = time.process_time()
    trainer.train(0.01, 0)
    return time.process_time() - start


def predict(tasks, count):
    """Prints the cost of each kind, and returns the seconds of all tasks.

    Args:
        tasks: a list of `Task`.
        count: the number of processes, which measure at the same time.
    """
    by_kind = {}
    for task in tasks:
        by_kind.setdefault(kind(task), task)
    costs = {}
    measured = workers.call(measure, by_kind.values(), count)
    for name, cost in zip(by_kind, measured, strict=True):
        costs[name] = cost
        print(
            f"{', '.join(name)}: start {cost.start:.1f} s, "
            f"{1000 * cost.step:.1f} ms per step, "
            f"{sum(cost.evaluation.values()):.2f} s per evaluation",
            flush=True,
        )
    return sum(costs[kind(task)].seconds(task) for task in tasks) / count
