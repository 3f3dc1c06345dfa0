"""The timed workloads: tensors of one shape, and our kernels on them."""

import collections
import math

from benchmarks.gpu.library import View
from benchmarks.gpu.timing import SETS

LAST, FIRST = "channels_last", "channels_first"
GROUPS, EPSILON = 32, 1e-5

# Functions of the number of the input set.
Directions = collections.namedtuple("Directions", "forward backward")


class Workload:
    """Input sets of x and dy, used in rotation, in both layouts.

    Args:
        memory: `arrays.Torch`.
        shape: [N, H, W, C]. PyTorch's tensors of both layouts have the shape
            [N, C, H, W].
    """

    def __init__(self, memory, shape, dtype, function="identity"):
        self.torch, self.device = memory.torch, memory.device
        self.shape, self.dtype, self.function = shape, dtype, function
        self.type = getattr(self.torch, dtype)
        self.inputs = {LAST: [], FIRST: []}
        for _ in range(SETS):
            x, dy = self.random(1, 2), self.random(0, 1)
            self.inputs[FIRST].append((x, dy))
            last = self.torch.channels_last
            self.inputs[LAST].append(
                tuple(t.contiguous(memory_format=last) for t in (x, dy))
            )
        channels = shape[-1]
        self.gamma = self.torch.randn(channels, device=self.device)
        self.beta = self.torch.randn(channels, device=self.device)

    @property
    def size(self):
        """Bytes of x."""
        return bytes_of(self.shape, self.dtype)

    def random(self, mean, deviation):
        n, h, w, c = self.shape
        every = self.torch.randn((n, c, h, w), device=self.device)
        return (mean + deviation * every).to(self.type)

    def floats(self, *shape):
        return self.torch.full(shape, math.nan, device=self.device)

    def view(self, layout):
        n, h, w, c = self.shape
        return View(n, h * w, c, 1) if layout == LAST else View(n, 1, c, h * w)


def bytes_of(shape, dtype):
    return math.prod(shape) * (4 if dtype == "float32" else 2)


def needed(shape, dtype):
    """Bytes of device memory, including those of the baselines."""
    return 14 * SETS * bytes_of(shape, dtype) + 2**30


def group_norm(work, kernels, layout=LAST):
    """Our group norm."""
    n, _, _, c = work.shape
    shared = {
        "function": work.function,
        "groups": GROUPS,
        "epsilon": EPSILON,
        "gamma": work.gamma,
        "beta": work.beta,
    }
    affine = {name: work.floats(c) for name in ("d_gamma", "d_beta")}
    what = (work.view(layout), work.dtype)
    passes = Directions([], [])
    for x, dy in work.inputs[layout]:
        names = ("mean", "residual", "rstd", "variance")
        saved = {name: work.floats(n, GROUPS) for name in names}
        how = shared | saved | {"x": x, "result": work.torch.empty_like(x)}
        forward = kernels.prepared("group_norm", *what, **how)
        backward = kernels.prepared(
            "group_norm_gradient", *what, dy=dy, **how, **affine
        )
        forward()
        passes.forward.append(forward)
        passes.backward.append(backward)
    return _numbered(passes)


def batch_norm(work, kernels):
    """Our passes without the algebra between them, and each kernel by name."""
    n, h, w, c = work.shape
    what = (View(1, n * h * w, c, 1), work.dtype)
    affine = {name: work.floats(1, c).normal_() for name in _AFFINE}
    through = {name: work.floats(1, c).normal_() for name in _THROUGH_MOMENTS}
    sums = {name: work.floats(1, c) for name in _SUMS}
    moments = {name: work.floats(1, c) for name in _MOMENTS}
    steps = {name: [] for name in _STEPS}
    for x, dy in work.inputs[LAST]:
        result = {"result": work.torch.empty_like(x)}
        both = {"x": x, "dy": dy, **affine}
        arrays = (
            {"x": x, **moments},
            {"x": x, **affine, **result},
            both | sums,
            both | through | result,
        )
        for name, named in zip(_STEPS, arrays, strict=True):
            steps[name].append(kernels.prepared(name, *what, **named))
    first, second, third, fourth = steps.values()

    def forward(i):
        first[i]()
        second[i]()

    def backward(i):
        third[i]()
        fourth[i]()

    alone = {n: lambda i, all_=all_: all_[i]() for n, all_ in steps.items()}
    return Directions(forward, backward), alone


def _numbered(passes):
    forward, backward = passes
    return Directions(lambda i: forward[i](), lambda i: backward[i]())


_AFFINE = ("center", "scale", "shift")
_THROUGH_MOMENTS = ("slope", "offset")
_SUMS = ("sum_g", "sum_g_centered")
_MOMENTS = ("count", "mean", "variance", "residual")
_STEPS = ("moments", "apply", "gradient_sums", "gradient_combine")
