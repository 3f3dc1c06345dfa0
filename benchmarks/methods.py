"""Methods against batch norm: `python -m benchmarks.methods`.

Times training, forward and backward with the gradients of input and weights,
in graph mode and with `jit_compile=True`, in one run. The csv has medians,
ratios to batch norm and versions. Machines are noisy, so only ratios are
meaningful.
"""

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_norms
from benchmarks import timing
from keras_norms import benchmark

BASELINE = "BatchNormalization"
METHODS = {
    BASELINE: {},
    "GroupNormalization": {},
    "GhostBatchNormalization": {"ghost_batch_size": 8},
    "BatchGroupNormalization": {},
    "DynamicNormalization": {},
    "DynamicNormalization, batch": {"scope": "batch"},
    "UnifiedBatchNormalization": {},
    "UnifiedBatchNormalization, channel": {"affine": "channel"},
    "RepresentativeBatchNormalization": {},
    "InstanceEnhancementBatchNormalization": {},
    "SwitchableNormalization": {},
    "BatchInstanceNormalization": {},
    "FilterResponseNormalization": {},
}


def candidate(name, shape, jit):
    """A function of no arguments that trains layers once."""
    layer_class = getattr(keras_norms.layers, name.partition(",")[0])
    layer = functools.partial(layer_class, **METHODS[name])
    training = {"training": True}
    return benchmark.candidate(layer, training, shape, "float32", jit, True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shape", type=int, nargs="+", default=[32, 56, 56, 64]
    )
    timing.add_arguments(parser, "methods.csv", rounds=25)
    options = parser.parse_args()
    timing.keep_memory()
    rows = []
    for mode in ("graph", "jit"):
        candidates = {
            name: candidate(name, options.shape, mode == "jit")
            for name in METHODS
        }
        times = benchmark.medians(candidates, options.rounds)
        ratios = timing.ratios(times, BASELINE)
        for name, time in times.items():
            rows.append(
                {
                    "method": name,
                    "shape": "x".join(map(str, options.shape)),
                    "mode": mode,
                    "ms": round(time, 3),
                    "times_batch_norm": round(ratios[name], 2),
                }
            )
    environment = timing.layer_environment()
    timing.write(options.csv, [{**row, **environment} for row in rows])
    print(f"{'method':42} {'mode':6} times batch norm")
    for row in rows:
        print(
            f"{row['method']:42} {row['mode']:6} {row['times_batch_norm']:6}"
        )
    print(f"written: {options.csv.name}")


if __name__ == "__main__":
    main()
