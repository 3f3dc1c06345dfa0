"""The kernels on tensors beyond the caches, and beyond 2^31 elements.

The oracle is the same formulas by PyTorch in float64, a piece of x at a time.
"""

import math

from benchmarks.gpu.findings import NARROW
from benchmarks.gpu.findings import TABLE
from benchmarks.gpu.library import View
from benchmarks.gpu.workloads import bytes_of

VIEWS = (
    (View(32, 64 * 64, 256, 1), "float32"),
    (View(32, 64 * 64, 256, 1), "bfloat16"),
    (View(32, 1, 256, 64 * 64), "bfloat16"),
    (View(1, 512 * 512, 256, 1), "float16"),
    (View(1, 1, 256, 512 * 512), "float32"),
)
# Rows of more than 2^31 elements.
HUGE = (
    (View(1, 2**22 + 40, 512, 1), "bfloat16"),
    (View(1, 1, 16, 2**27 + 8), "bfloat16"),
)
PIECE = 2**25  # elements
GROUPS, EPSILON = 4, 1e-3  # and silu: it has no kinks


def needed(view, dtype):
    """Bytes for x, dy, y and dx, and for the pieces."""
    return 4 * bytes_of(view, dtype) + 16 * 8 * PIECE


class Large:
    """One shape, on PyTorch's device."""

    def __init__(self, view, dtype, kernels, memory, findings):
        torch, self.view, self.dtype = memory.torch, view, dtype
        self.torch, self.findings, self.kernels = torch, findings, kernels
        self.options = {
            "device": memory.device,
            "dtype": getattr(torch, dtype),
        }
        self.x, self.dy = self.random(0.5), self.random(0)
        floats = {"device": memory.device, "dtype": torch.float32}
        self.gamma, self.beta = (
            torch.randn(view.channels, **floats) for _ in range(2)
        )
        self.saved = {
            name: torch.full((view.rows, GROUPS), math.nan, **floats)
            for name in ("mean", "residual", "rstd", "variance")
        }
        self.affine = {
            name: torch.full((view.channels,), math.nan, **floats)
            for name in ("d_gamma", "d_beta")
        }

    def poisoned(self):
        return self.torch.full(tuple(self.view), math.nan, **self.options)

    def random(self, mean):
        every = self.poisoned()
        for piece in every.view(-1).split(PIECE):
            piece.normal_(mean)
        return every

    def pieces(self, *tensors):
        """float64 of the same positions of each, all rows and channels."""
        axis = 1 if self.view.inner == 1 else 3
        slice_size = math.prod(self.view) // self.view[axis]
        step = max(PIECE // slice_size, 1)
        for parts in zip(*(t.split(step, axis) for t in tensors), strict=True):
            yield [part.double() for part in parts]

    def each(self, table):
        """[rows, groups] or [channels] for every element of a piece."""
        if table.ndim == 2:
            table = table.repeat_interleave(self.view.channels // GROUPS, 1)
        return table.double().reshape(-1, 1, self.view.channels, 1)

    def sums(self, values):
        """Of values(*parts): [rows, channels]."""
        return sum(v.sum((1, 3)) for v in values)

    def pooled(self, sums):
        size = self.view.channels // GROUPS
        count = size * self.view.outer * self.view.inner
        return sums.view(-1, GROUPS, size).sum(2) / count

    def run(self):
        y, dx = self.poisoned(), self.poisoned()
        how = {
            "function": "silu",
            "groups": GROUPS,
            "epsilon": EPSILON,
            "x": self.x,
            "gamma": self.gamma,
            "beta": self.beta,
            **self.saved,
        }
        call = (self.view, self.dtype)
        self.kernels.group_norm(*call, result=y, **how)
        self.kernels.group_norm_gradient(
            *call, dy=self.dy, result=dx, **how, **self.affine
        )
        mean = self.pooled(self.sums(x for (x,) in self.pieces(self.x)))
        squares = self.sums(
            (x - self.each(mean)) ** 2 for (x,) in self.pieces(self.x)
        )
        variance = self.pooled(squares)
        rstd = (variance + EPSILON).rsqrt()
        got = self.saved["mean"].double() + self.saved["residual"].double()
        self.close("mean", got - mean, 5 * TABLE)
        got = self.saved["variance"].double() / variance
        self.close("variance", got - 1, 5 * TABLE)
        got = self.saved["rstd"].double() / rstd
        self.close("rstd", got - 1, 5 * TABLE)
        self.forward(y, mean, rstd)
        self.backward(dx, mean, rstd)

    def normal(self, x, mean, rstd):
        """x hat, z, and sigmoid(z)."""
        hat = (x - self.each(mean)) * self.each(rstd)
        z = hat * self.each(self.gamma) + self.each(self.beta)
        return hat, z, self.torch.sigmoid(z)

    def forward(self, y, mean, rstd):
        worst = []
        for x, got in self.pieces(self.x, y):
            _, z, s = self.normal(x, mean, rstd)
            error = (got - z * s).abs() / z.abs().clamp(min=1)
            worst.append(error.amax())
        self.note("y", worst, NARROW[self.dtype] + 4 * TABLE)

    def backward(self, dx, mean, rstd):
        def before(x, dy):
            hat, z, s = self.normal(x, mean, rstd)
            return hat, dy * s * (1 + z * (1 - s))

        betas = gammas = size = 0
        for x, dy in self.pieces(self.x, self.dy):
            hat, g = before(x, dy)
            betas = betas + g.sum((1, 3))
            gammas = gammas + (g * hat).sum((1, 3))
            size = size + (g.abs() * (1 + hat.abs())).sum((0, 1, 3))
        for name, sums in (("d_gamma", gammas), ("d_beta", betas)):
            error = (self.affine[name].double() - sums.sum(0)) / size
            self.close(name.replace("_", ""), error, 8 * TABLE)
        all_, along = (
            self.each(self.pooled(sums * self.gamma.double()))
            for sums in (betas, gammas)
        )
        worst, over = [], self.each(rstd)
        for x, dy, got in self.pieces(self.x, self.dy, dx):
            hat, g = before(x, dy)
            h = g * self.each(self.gamma)
            want = over * (h - all_ - hat * along)
            error = (got - want).abs() / (want.abs() + over)
            worst.append(error.amax())
        self.note("dx", worst, NARROW[self.dtype] + 8 * TABLE)

    def close(self, what, error, bound):
        self.note(what, [error.abs().amax()], bound)

    def note(self, what, worst, bound):
        # The largest of tensors; a NaN, where there is one.
        worst = float(self.torch.stack(worst).amax())
        what = f"large group_norm: {what}"
        self.findings.note(what, self.dtype, worst, bound, self.view)


def check(kernels, memory, findings, views=VIEWS + HUGE):
    """What was left out, for want of memory."""
    left_out = []
    for view, dtype in views:
        memory.torch.cuda.empty_cache()
        free, _ = memory.torch.cuda.mem_get_info()
        if needed(view, dtype) > free:
            left_out.append(f"{tuple(view)} {dtype}: {free / 2**30:.0f} GiB")
            continue
        Large(view, dtype, kernels, memory, findings).run()
        kernels.forget()
    return left_out
