"""A random case has a layer, its arguments, an input and an execution mode."""

import dataclasses
from typing import Any

import numpy as np

from benchmarks.fuzz.arguments import COMPANIONS
from benchmarks.fuzz.arguments import LAYERS
from benchmarks.fuzz.arguments import draw_arguments

# Activations whose constants TensorFlow rounds to float32.
FLOAT32_ACTIVATIONS = ("gelu", "leaky_relu")
POLICIES = ("float32", "float64", "mixed_float16", "mixed_bfloat16")
POLICIES += ("float16", "bfloat16")
INPUT_DTYPES = ("float16", "bfloat16", "float32", "float64")
INTEGER_DTYPES = ("int8", "uint8", "int32", "int64")


@dataclasses.dataclass
class Case:
    """The case of a seed, from which also the arrays are drawn."""

    seed: int
    layer: str
    arguments: dict[str, Any]
    shape: tuple[int, ...]
    axis: int
    dtype: str
    policy: str
    training: str  # "true", "false", "tensor true", "tensor false", "frozen"
    native: bool
    run: str  # "eager", "graph", "unknown batch", "jit"
    mask: str | None  # "random", "none true", "empty examples"
    mask_rank: int
    scale: float
    mean: float  # in deviations
    values: str  # "normal", "constant", "constant channel", "outliers", ...
    bad: str | None  # "masked" or "channel": where values are not finite

    @property
    def trains(self):
        return self.training in ("true", "tensor true")

    @property
    def epsilon(self):
        return self.arguments.get("epsilon", 1e-3)

    @property
    def channels(self):
        return self.shape[self.axis]


class Draw:
    """Random choices by one generator."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def choice(self, options, weights=None):
        if weights is not None:
            weights = np.asarray(weights) / np.sum(weights)
        return options[int(self.rng.choice(len(options), p=weights))]

    def chance(self, probability):
        return bool(self.rng.random() < probability)

    def between(self, low, high):
        return float(self.rng.uniform(low, high))

    def integer(self, low, high):
        return int(self.rng.integers(low, high + 1))


def draw(seed):
    """The case of a seed."""
    d = Draw([seed, 0])
    layer = d.choice(LAYERS + COMPANIONS, [4] * len(LAYERS) + [1, 1])
    shape, axis = _shape(d)
    dtype = d.choice(INPUT_DTYPES, [1, 1, 4, 2])
    if d.chance(0.05):
        dtype = d.choice(INTEGER_DTYPES)
    policy = d.choice(POLICIES, [5, 3, 1, 1, 0.5, 0.5])
    if dtype == "float64" and d.chance(0.7):
        policy = "float64"
    arguments = draw_arguments(d, layer, shape[axis])
    wide = "float64" in (dtype, policy)
    if wide and arguments.get("activation") in FLOAT32_ACTIVATIONS:
        arguments["activation"] = "silu"
    if arguments.get("affine") == "depthwise":
        # The oracle rounds what the convolution reads as the statistics.
        same = ("float64", "float64"), ("float32", "float32")
        if (dtype, policy) not in same or len(shape) > 5:
            arguments["affine"] = "channel"
    mask = d.choice(
        (None, "random", "none true", "empty examples"), [6, 3, 1, 2]
    )
    native = d.chance(0.5)
    scale, mean = _range(d, dtype)
    if native and "float64" in (dtype, policy):
        # The library's means in float64 have no residual.
        mean = min(mean, 1.0)
    values = ("normal", "constant", "constant channel", "outliers", "shifted")
    values = d.choice(values, [8, 1, 1, 1, 2])
    bad = d.choice((None, "masked", "channel"), [12, 2, 1])
    if dtype in INTEGER_DTYPES:
        bad = None
    return Case(
        seed,
        layer,
        arguments,
        shape,
        axis,
        dtype,
        policy,
        training=d.choice(
            ("true", "false", "tensor true", "tensor false", "frozen"),
            [8, 3, 1, 1, 0.3],
        ),
        native=native,
        run=d.choice(
            ("eager", "graph", "unknown batch", "jit"),
            [100, 4, 4, 0.5],
        ),
        mask=mask,
        mask_rank=d.integer(1, len(shape) - 1),
        scale=scale,
        mean=mean,
        values=values,
        bad=bad,
    )


def _shape(d):
    rank = d.integer(2, 6)
    sizes = [d.choice((1, 2, 3, 4, 5, 7, 8)) for _ in range(rank - 2)]
    if sizes and d.chance(0.3):
        sizes[d.integer(0, len(sizes) - 1)] = d.choice((9, 16, 17, 33, 130))
    batch = d.choice((1, 2, 3, 4, 5, 6, 8, 9, 17))
    if d.chance(0.02):
        batch = 0
    elif sizes and d.chance(0.02):
        sizes[0] = 0
    channels = d.choice((1, 2, 3, 4, 6, 8, 12, 16, 33))
    while batch * np.prod(sizes) * channels > 12000:
        largest = int(np.argmax(sizes))
        sizes[largest] = max(1, sizes[largest] // 2)
    axis = d.choice((-1, 1, d.integer(1, rank - 1)), [3, 2, 1])
    shape = [batch, *sizes]
    shape.insert(axis if axis > 0 else rank - 1, channels)
    if axis > 0 and d.chance(0.3):
        axis -= rank
    return tuple(shape), axis


def _range(d, dtype):
    """Draws the deviation, and the mean in deviations."""
    mean = d.choice((0.0, 1.0, 10.0, 1e3, 1e4, 1e6), [6, 3, 2, 1, 1, 1])
    if dtype in ("float16", "bfloat16"):
        mean = min(mean, 10.0)
        return d.choice((1.0, 1e-2, 100.0), [6, 1, 1]), mean
    if dtype in INTEGER_DTYPES:
        return d.choice((1.0, 5.0, 30.0)), 0.0
    scales = (1.0, 1e-3, 1e3, 1e-6, 1e6, 1e-12, 1e12)
    scale = d.choice(scales, [12, 2, 2, 1, 1, 0.5, 0.5])
    # Squares must stay within the range of float32.
    return scale, min(mean, 10.0) if scale > 1e9 else mean
