"""The cases that are checked: shapes, types, layouts and arguments."""

import dataclasses
import itertools

import numpy as np

from benchmarks.gpu.library import ACTIVATIONS
from benchmarks.gpu.library import TYPES
from benchmarks.gpu.library import View

FEW = (
    View(2, 33, 8, 1),
    View(2, 33, 12, 1),
    View(3, 7, 5, 1),
    View(2, 9, 517, 1),
    View(2, 3, 16, 40),
)
LAST = (
    View(1, 1, 1, 1),
    View(2, 0, 6, 1),  # rows of nothing
    View(2, 50, 3, 1),
    View(2, 40, 96, 1),
    View(1, 9, 2400, 1),
    View(1, 2000, 32, 1),  # many chunks
    View(70, 3, 16, 1),
    View(300, 1, 8, 1),
)
FIRST = (
    View(2, 1, 3, 7),
    View(3, 1, 5, 64),
    View(2, 1, 517, 8),
    View(1, 1, 8, 6000),  # many chunks
    View(2, 4, 6, 24),  # some spans
    View(1, 3, 12, 700),
    View(1, 1, 2400, 16),
    View(60, 1, 4, 16),
)
# For GPUs: what the emulation takes too long for.
LARGE = (
    View(2, 48 * 48, 320, 1),
    View(1, 100_000, 24, 1),
    View(700, 49, 48, 1),
    View(2, 1, 64, 128 * 128),
    View(3, 5, 40, 5000),
    View(3, 1, 24, 4099),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One configuration of the kernels; `groups` lists numbers of groups.

    x and dy lie `shift` elements past an address that 16 bytes divide; results
    are written over them where `in_place`.
    """

    view: View
    dtype: str
    function: str = "identity"
    groups: tuple = ()
    mean: float = 0.5
    masked: bool = False
    affine: bool = True
    epsilon: float = 1e-3
    shift: int = 0
    in_place: bool = False

    def __str__(self):
        """What is not as usual."""
        others = [
            f"{field.name}={getattr(self, field.name)}"
            for field in dataclasses.fields(self)[2:]
            if getattr(self, field.name) != field.default
        ]
        return ", ".join([f"{tuple(self.view)} {self.dtype}", *others])


def divisors(channels):
    return [n for n in range(1, channels + 1) if channels % n == 0]


def some_groups(channels):
    """One, a channel each, and one between where there is one."""
    counts = divisors(channels)
    return tuple(sorted({1, counts[len(counts) // 2], channels}))


def cases(few, large=False, seed=0):
    functions = itertools.cycle(ACTIVATIONS)
    views = (*FEW, *(() if few else LAST + FIRST), *(LARGE if large else ()))
    for view in views:
        groups = some_groups(view.channels)
        for dtype in TYPES:
            yield Case(view, dtype, next(functions), groups)
    for dtype in TYPES:
        yield from _ways(dtype, few)
    yield from drawn(30 if few else 200, seed)


def drawn(count, seed):
    """Shapes that nobody has thought of, other ones each time: how threads
    share them changes with every number.
    """
    random = np.random.default_rng(seed)
    for _ in range(count):
        rows, outer, channels, inner = np.exp(
            random.uniform(0, np.log([8, 200, 200, 200]))
        ).astype(int)
        dtype, function = (
            random.choice(list(TYPES)),
            random.choice(ACTIVATIONS),
        )
        inner = 1 if random.random() < 0.6 else min(inner, 4000 // outer)
        if random.random() < 0.7:
            # What fits accesses of 16 bytes.
            step = 4 if dtype == "float32" else 8
            if inner == 1:
                channels = step * -(-channels // step)
            else:
                inner = step * -(-inner // step)
        rows = max(1, min(rows, 60_000 // (outer * channels * inner)))
        view = View(*map(int, (rows, outer, channels, inner)))
        groups = random.choice(divisors(view.channels), 1)
        yield Case(view, str(dtype), str(function), tuple(map(int, groups)))


def _ways(dtype, few):
    """The same few shapes, called in every way."""
    last, first = View(2, 33, 24, 1), View(2, 3, 24, 40)
    groups = (4,)
    for function in ACTIVATIONS:
        yield Case(last, dtype, function, groups)
    yield Case(last, dtype, "identity", tuple(divisors(24)))
    for view in (last, first):
        yield Case(view, dtype, "silu", groups, shift=1)
        yield Case(view, dtype, "gelu", groups, in_place=True)
        yield Case(view, dtype, "tanh", groups, affine=False, epsilon=1e-5)
    yield Case(last, dtype, "silu", groups, shift=1, in_place=True)
    masked = (*FEW, last, first, *(() if few else LAST + FIRST))
    for i, view in enumerate(masked):
        yield Case(view, dtype, ACTIVATIONS[i % len(ACTIVATIONS)], masked=True)
    if dtype == "float32":
        for view in (last, first, View(1, 900, 16, 1), View(1, 1, 4, 3000)):
            yield Case(view, dtype, "identity", groups, mean=1e4)
        yield Case(last, dtype, "relu", mean=1e4, masked=True)
