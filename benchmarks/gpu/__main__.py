"""Checks the kernels on a GPU against float64, and times them.

`python -m benchmarks.gpu` needs PyTorch or CuPy, and uses JAX if it is
installed. It needs neither TensorFlow nor Keras. Timing needs PyTorch. On a
machine without a GPU:

    make -C tf_ops gpu emulated
    LD_LIBRARY_PATH=tf_ops/build/emulated \\
        python -m benchmarks.gpu --only check --memory numpy
"""

import argparse
import os
import pathlib
import sys

from benchmarks.gpu import arrays
from benchmarks.gpu import cases
from benchmarks.gpu import check
from benchmarks.gpu import library
from benchmarks.timing import RESULTS
from benchmarks.timing import write


def say(line):
    print(line, flush=True)


def with_jax(options):
    """The JAX modules, or None if JAX is not installed."""
    try:
        from benchmarks.gpu import jax_all

        jax_all.register(say)
    except (ImportError, OSError, RuntimeError) as error:
        say(f"JAX: not here ({error})")
        return None
    return jax_all


def checked(kernels, memory, jax, options):
    """Whether all results are correct."""
    large = memory.name != "numpy" and not options.few
    checks = cases.cases(options.few, large, options.seed)
    found = check.check(checks, kernels, memory, options.seed)
    if large and memory.name == "torch":
        from benchmarks.gpu import large as larger

        for left_out in larger.check(kernels, memory, found):
            say(f"not checked, too little memory: {left_out}")
    say(found.table(library.TYPES))
    for line in jax.check(options.seed, found) if jax else ():
        say(line)
    for failure in found.failures[:20]:
        say(f"WRONG: {failure}")
    say(
        f"{found.count} results checked, {len(found.failures)} failures, "
        f"seed {options.seed}"
    )
    return not found.failures


def timed(kernels, memory, jax, options):
    """Whether all cases could be timed."""
    if memory.name != "torch":
        say("no times: they take PyTorch and a GPU")
        return options.only != "time"
    from benchmarks.gpu import report
    from benchmarks.gpu import suite
    from benchmarks.gpu import timing

    torch = memory.torch
    # The default stream cannot be captured in a graph.
    with torch.cuda.stream(torch.cuda.Stream()):
        bench = timing.Bench(torch, memory.device)
        times = suite.Suite(bench, kernels, memory, options.compile_seconds)
        times.run(options.few)
    torch.cuda.empty_cache()
    environment = report.environment(memory, times.copy)
    written(times.rows, environment, options.csv)
    if jax:  # last, because it may end the process
        times.jax(jax.times(suite.FEW[:1] if options.few else suite.SHAPES))
        written(times.rows, environment, options.csv)
    for line in (*times.notes, *report.tables(times.rows)):
        say(line)
    say(", ".join(f"{name} {value}" for name, value in environment.items()))
    return not times.failed


def written(rows, environment, path):
    if rows:
        write(path, [row | environment for row in rows])


def arguments():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    seed = int.from_bytes(os.urandom(4), "little")
    add = parser.add_argument
    add("--only", choices=("check", "time"))
    add("--few", action="store_true", help="fewer cases and shapes")
    add("--csv", type=pathlib.Path, default=RESULTS / "gpu.csv")
    add("--memory", choices=tuple(arrays.MEMORIES))
    add(
        "--library",
        type=pathlib.Path,
        help="one that is built already",
    )
    add("--seed", type=int, default=seed, help="of the inputs")
    add(
        "--compile-seconds",
        type=float,
        default=150,
        help="for torch.compile",
    )
    add("--no-jax", action="store_true")
    return parser.parse_args()


def main():
    options = arguments()
    try:
        memory = arrays.chosen(options.memory)
        if options.library is None:
            say(library.build())
        path = options.library or library.LIBRARY
        kernels = library.Kernels(memory, path)
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
    jax = None if options.no_jax else with_jax(options)
    good = True
    if options.only != "time":
        good = checked(kernels, memory, jax, options)
    if options.only != "check":
        good = timed(kernels, memory, jax, options) and good
    sys.exit(not good)


if __name__ == "__main__":
    main()
