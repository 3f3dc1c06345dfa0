"""Layers against others: `python -m benchmarks.layers`.

Times group, batch and layer norm in training, forward and forward + backward,
as multiples of a copy of x by one thread (`numpy.copyto`). Each candidate is a
stack of layers, as in a model, with the composed and with the native backend.
The baselines are Keras, TensorFlow's fused batch norm and, where it is
installed, PyTorch in both of its layouts. The csv has medians of interleaved
rounds and versions. Machines are noisy, so only ratios are meaningful.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from tqdm import tqdm

from benchmarks import timing
from keras_norms import benchmark
from keras_norms import layers
from keras_norms import ops
from keras_norms.native import loader

SHAPES = [
    (32, 56, 56, 64),
    (8, 112, 112, 64),
    (8, 56, 56, 256),
    (32, 32, 32, 64),
    (128, 7, 7, 2048),
    (1, 256, 256, 128),
    (16, 196, 768),
]
# Layer norm is for tokens, with few channels or many.
TOKENS = [(64, 256, 64), (64, 196, 256), (16, 196, 768), (8, 512, 1024)]
CALLS = {
    "GroupNormalization": {},
    "BatchNormalization": {"training": True},
    "LayerNormalization": {},
}


def ours(mode, name, shape, dtype, jit, backward):
    """A candidate that is traced with or without the native library."""
    function = benchmark.candidate(
        getattr(layers, name), CALLS[name], shape, dtype, jit, backward
    )
    with ops.using_native(mode):
        function()
    return function


def tensorflow_fused(shape, dtype, backward):
    """`tf.compat.v1.nn.fused_batch_norm`, which requires rank 4."""
    weights = [
        [tf.ones(shape[-1]), tf.zeros(shape[-1])]
        for _ in range(benchmark.LAYERS)
    ]

    def apply(x):
        for pair in weights:
            x = tf.compat.v1.nn.fused_batch_norm(x, *pair, is_training=True)[0]
        return x

    sources = [tensor for pair in weights for tensor in pair]
    return benchmark.training(apply, sources, shape, dtype, False, backward)


def pytorch(name, shape, dtype, backward, channels_last):
    """The function of PyTorch with the same name."""
    import torch

    torch.set_num_threads(os.cpu_count())
    batch, *sizes, channels = shape
    first = (batch, channels, *sizes)
    if name == "LayerNormalization":
        first = shape
    noise = torch.randn(first, dtype=getattr(torch, dtype))
    if channels_last and len(sizes) == 2:
        noise = noise.contiguous(memory_format=torch.channels_last)
    x = noise.detach().requires_grad_(backward)
    dy = torch.randn_like(noise)
    weights = [
        torch.ones(channels, dtype=noise.dtype, requires_grad=backward)
        for _ in range(2 * benchmark.LAYERS)
    ]

    def run():
        y = x
        for i in range(0, len(weights), 2):
            pair = weights[i : i + 2]
            if name == "LayerNormalization":
                y = torch.nn.functional.layer_norm(y, (channels,), *pair)
            elif name == "GroupNormalization":
                y = torch.nn.functional.group_norm(y, 32, *pair)
            else:
                y = torch.nn.functional.batch_norm(
                    y, None, None, *pair, training=True
                )
        if backward:
            torch.autograd.grad(y, [x, *weights], dy)

    return run


def candidates(name, shape, dtype, backward):
    theirs = getattr(keras.layers, name)
    found = {"copy": benchmark.copying(shape, dtype)}
    for mode, jit in (("graph", False), ("jit", True)):
        settings = (shape, dtype, jit, backward)
        found[f"keras {mode}"] = benchmark.candidate(
            theirs, CALLS[name], *settings
        )
        found[f"composed {mode}"] = ours("never", name, *settings)
        if not loader.unusable_reason():
            found[f"native {mode}"] = ours("always", name, *settings)
    if name == "BatchNormalization" and len(shape) == 4:
        found["tensorflow fused"] = tensorflow_fused(shape, dtype, backward)
    try:
        import torch  # noqa: F401  optional
    except ImportError:
        return found
    for last in (True, False) if len(shape) == 4 else (False,):
        layout = "torch channels last" if last else "torch contiguous"
        found[layout] = pytorch(name, shape, dtype, backward, last)
    return found


def measure(name, shape, dtype, backward, rounds):
    """Yields the rows of the csv for one case."""
    times = benchmark.medians(candidates(name, shape, dtype, backward), rounds)
    copies = timing.ratios(times, "copy")
    for candidate, time in times.items():
        yield {
            "layer": name,
            "shape": "x".join(map(str, shape)),
            "dtype": dtype,
            "pass": "forward+backward" if backward else "forward",
            "candidate": candidate,
            "ms": round(time, 4),
            "copies": round(copies[candidate], 2),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--shapes", type=int, default=len(SHAPES), help="number of shapes"
    )
    parser.add_argument("--layers", nargs="+", default=list(CALLS))
    timing.add_arguments(parser, "layers.csv", rounds=7)
    options = parser.parse_args()
    timing.keep_memory()
    if reason := loader.unusable_reason():
        print(f"WITHOUT the native library. {reason}", flush=True)
    rows, environment = [], timing.layer_environment()
    cases = [
        (name, shape, dtype, backward)
        for dtype in options.dtypes
        for name in options.layers
        for shape in (TOKENS if "Layer" in name else SHAPES)[: options.shapes]
        for backward in (False, True)
    ]
    for case in tqdm(cases, unit="case"):
        found = list(measure(*case, options.rounds))
        rows += [{**row, **environment} for row in found]
        timing.write(options.csv, rows)
        copies = (f"{row['candidate']} {row['copies']}" for row in found)
        first = found[0]
        tqdm.write(
            f"{first['dtype']} {first['shape']} {first['layer']} "
            f"{first['pass']}: {', '.join(copies)}"
        )
    print(f"written: {options.csv.name}")


if __name__ == "__main__":
    main()
