"""Trains tasks in several processes, and passes rows on when they exist."""

import concurrent.futures
import multiprocessing
import os
import threading

# Python 3.11 can wait forever if `max_tasks_per_child` is set, so it is not.
_CONTEXT = multiprocessing.get_context("spawn")
_ROWS = None  # the queue of this process


def prepare(rows):
    """Gives each process one core, because images are small."""
    global _ROWS
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _ROWS = rows
    threading.Thread(target=exit_with_parent, daemon=True).start()


def exit_with_parent():
    """Ends this process with its parent, even if the parent is killed.

    Otherwise, it would train while the resumed run trains, too.
    """
    multiprocessing.parent_process().join()
    os._exit(1)


def train(task):
    """Puts the rows of a task into the queue."""
    from benchmarks.papers import runs

    for row in runs.train(task):
        _ROWS.put(row)


def call(function, tasks, count):
    """Yields the results of a function of tasks, in their order."""
    with executor(count, None) as processes:
        yield from processes.map(function, tasks)


def rows_of(tasks, count):
    """Yields the rows of all tasks from several processes.

    Args:
        tasks: a list of `Task`.
        count: the number of processes.
    """
    # A row is in this queue when `put` returns, so before its task is done.
    rows = _CONTEXT.SimpleQueue()
    with executor(count, rows) as processes:
        futures = [processes.submit(train, task) for task in tasks]
        try:
            yield from _until_done(futures, rows)
        finally:
            # After an error, the executor would run all other tasks.
            for future in futures:
                future.cancel()


def executor(count, rows):
    return concurrent.futures.ProcessPoolExecutor(
        count, _CONTEXT, prepare, (rows,)
    )


def _until_done(futures, rows):
    remaining = set(futures)
    while remaining:
        done, remaining = concurrent.futures.wait(
            remaining, 1, concurrent.futures.FIRST_COMPLETED
        )
        while not rows.empty():
            yield rows.get()
        for future in done:
            # Raises the exception of the task, or of a killed process.
            future.result()
