"""Layers against those of Keras, in one run: `python -m benchmarks.layers`.

Forward, and forward + backward (output and the gradients of input, gamma and
beta), in graph mode and under `jit_compile=True`. Prints medians, their
multiples of a copy of x, and ratios (above 1: faster than Keras), and writes
them as csv with versions. These machines are noisy: only ratios count.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tqdm import tqdm

from benchmarks import timing
from keras_norms import benchmark

SHAPES = [
    (8, 56, 56, 256),
    (32, 32, 32, 64),
    (32, 56, 56, 64),
    (8, 112, 112, 64),
    (128, 7, 7, 2048),
    (1, 256, 256, 128),
]
QUICK = SHAPES[:2]


def measure(shape, dtype, rounds, progress):
    """Rows of the csv for one shape."""
    for name, (baseline, ours, call_arguments) in benchmark.PAIRS.items():
        for jit in (False, True):
            for backward in (False, True):
                settings = (call_arguments, shape, dtype, jit, backward)
                times = benchmark.medians(
                    {
                        "keras": benchmark.candidate(baseline, *settings),
                        "ours": benchmark.candidate(ours, *settings),
                        "copy": benchmark.copying(shape, dtype),
                    },
                    rounds,
                )
                progress.update()
                yield {
                    "layer": name,
                    "shape": "x".join(map(str, shape)),
                    "dtype": dtype,
                    "mode": "jit" if jit else "graph",
                    "pass": "forward+backward" if backward else "forward",
                    "keras_ms": round(times["keras"], 3),
                    "ours_ms": round(times["ours"], 3),
                    "keras_copies": round(times["keras"] / times["copy"], 2),
                    "ours_copies": round(times["ours"] / times["copy"], 2),
                    "ratio": round(times["keras"] / times["ours"], 2),
                }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two shapes")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--csv",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "results" / "layers.csv",
    )
    options = parser.parse_args()
    timing.keep_memory()
    shapes = QUICK if options.quick else SHAPES
    rows = []
    with tqdm(
        total=len(shapes) * len(benchmark.PAIRS) * 4, unit="case"
    ) as progress:
        for shape in shapes:
            rows += measure(shape, options.dtype, options.rounds, progress)
    environment = timing.environment()
    timing.write(options.csv, [{**row, **environment} for row in rows])
    print(
        f"{'layer':20} {'shape':16} {'mode':6} {'pass':17}"
        f"{'keras':>8} {'ours':>8}  copies of x   ratio"
    )
    for row in rows:
        print(
            f"{row['layer']:20} {row['shape']:16} {row['mode']:6} "
            f"{row['pass']:17}{row['keras_copies']:8} {row['ours_copies']:8}"
            f"{row['ratio']:21}"
        )
    print(f"written: {options.csv.name}")


if __name__ == "__main__":
    main()
