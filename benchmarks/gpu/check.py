"""The kernels against the oracles."""

import numpy as np

from benchmarks.gpu import determinism
from benchmarks.gpu import oracles
from benchmarks.gpu.arrays import exact
from benchmarks.gpu.arrays import stored
from benchmarks.gpu.findings import NARROW
from benchmarks.gpu.findings import TABLE
from benchmarks.gpu.findings import Findings


class Trial:
    """One case: its inputs, and what the kernels make of them."""

    def __init__(self, case, kernels, memory, random, findings):
        self.case, self.findings, view = case, findings, case.view
        self.run = determinism.RepeatedCalls(
            case, kernels, memory, findings
        ).run
        shape = tuple(view)
        self.x_shape = shape
        self.table_shape = (view.rows, view.channels)
        self.mask = self.mask_bytes = None
        x = case.mean + random.normal(size=shape)
        if case.masked:
            self.mask_bytes = random.choice(
                [0, 1, 255], (*shape[:2], shape[3])
            )
            self.mask_bytes = self.mask_bytes.astype("uint8")
            if view.rows > 1:
                self.mask_bytes[-1] = 0
            self.mask = self.mask_bytes != 0
            # Masked values may be anything.
            odd = random.choice([np.nan, np.inf, -2.0], shape)
            x = np.where(self.mask[:, :, None], x, odd)
        self.stored_x = stored(x, case.dtype)
        self.x = oracles.read(exact(self.stored_x, case.dtype), self.mask)
        self.dy = random.normal(size=shape)
        self.random = random

    def table(self, shape, mean=0.0):
        return (mean + self.random.normal(size=shape)).astype("float32")

    def close(self, what, got, want, bound, size=1.0):
        self.findings.close(what, self.case, got, want, bound, size)

    def gradient(self, z):
        """dy as it is stored, 0 by kinks of the activation; and dy f'(z)."""
        below, slope, above = (
            oracles.slope(self.case.function, z + offset)
            for offset in (-1e-3, 0, 1e-3)
        )
        kink = np.abs(above - below) > 0.01
        dy = stored(np.where(kink, 0, self.dy), self.case.dtype)
        return dy, exact(dy, self.case.dtype) * slope

    def moments(self):
        rows, tables = (self.case.view.rows,), self.table_shape
        got = self.run(
            "moments",
            {"x": self.stored_x, "mask": self.mask_bytes},
            {"count": rows}
            | dict.fromkeys(("mean", "residual", "variance"), tables),
        )
        count, mean, variance = oracles.moments(self.x, self.mask)
        self.close("moments: count", got["count"], count, 0)
        self.close("moments: mean", got["mean"] + got["residual"], mean, TABLE)
        self.close("moments: variance", got["variance"], variance, 3 * TABLE)

    def steps(self):
        """apply, gradient_sums and gradient_combine."""
        case, shape = self.case, self.table_shape
        tables = {
            "center": self.table(shape, case.mean),
            "scale": self.table(shape),
            "shift": self.table(shape),
        }
        affine = oracles.Affine(
            self.x, *(table.astype(float) for table in tables.values())
        )
        inputs = {"x": self.stored_x, "mask": self.mask_bytes, **tables}
        got = self.run("apply", inputs, {"result": self.x_shape}, over="x")
        want = oracles.activation(case.function, affine.z)
        narrow = NARROW[case.dtype]
        bound = narrow + 4 * TABLE
        self.close("apply", got["result"], want, bound, affine.size)

        inputs["dy"], g = self.gradient(affine.z)
        names = ("sum_g", "sum_g_centered")
        got = self.run("gradient_sums", inputs, dict.fromkeys(names, shape))
        sums = oracles.gradient_sums(affine, g)
        for name, (want, size) in zip(names, sums, strict=True):
            what = f"gradient_sums: {name}"
            self.close(what, got[name], want, 4 * TABLE, size)
        present = (self.table(shape), self.table(shape))
        for slope, offset in (present, (None, None)):
            got = self.run(
                "gradient_combine",
                inputs | {"slope": slope, "offset": offset},
                {"result": self.x_shape},
                over="dy",
            )
            want, size = oracles.gradient_combine(
                affine, g, slope, offset, self.mask
            )
            self.close("gradient_combine", got["result"], want, bound, size)

    def group_norm(self, groups):
        case, channels = self.case, self.case.view.channels
        gamma, beta = np.ones(channels), np.zeros(channels)
        inputs = {"x": self.stored_x}
        if case.affine:
            gamma, beta = self.table(channels), self.table(channels)
            inputs |= {"gamma": gamma, "beta": beta}
        how = {"groups": groups, "epsilon": case.epsilon}
        saved, table = ("mean", "residual", "rstd"), (case.view.rows, groups)
        outputs = dict.fromkeys((*saved, "variance"), table)
        got = self.run(
            "group_norm",
            inputs,
            {"result": self.x_shape} | outputs,
            over="x",
            **how,
        )
        norm = oracles.GroupNorm(self.x, *how.values(), gamma, beta)
        mean = got["mean"] + got["residual"]
        self.close("group_norm: mean", mean, norm.mean, TABLE)
        variance = got["variance"]
        self.close("group_norm: variance", variance, norm.variance, 3 * TABLE)
        rstd = got["rstd"] / norm.rstd
        self.close("group_norm: rstd", rstd, 1, 3 * TABLE)
        narrow = NARROW[case.dtype]
        want = oracles.activation(case.function, norm.z)
        bound = narrow + 4 * TABLE
        self.close("group_norm: y", got["result"], want, bound, norm.sizes)

        inputs["dy"], g = self.gradient(norm.z)
        inputs |= {name: got[name].astype("float32") for name in saved}
        got = self.run(
            "group_norm_gradient",
            inputs,
            {"result": self.x_shape}
            | dict.fromkeys(("d_gamma", "d_beta"), (channels,)),
            over="dy",
            **how,
        )
        bounds = (narrow + 8 * TABLE, 8 * TABLE, 8 * TABLE)
        names = {"result": "dx", "d_gamma": "dgamma", "d_beta": "dbeta"}
        wanted = zip(names, bounds, norm.gradient(g), strict=True)
        for name, bound, (want, size) in wanted:
            what = f"group_norm: {names[name]}"
            self.close(what, got[name], want, bound, size)


def check(cases, kernels, memory, seed, findings=None):
    """All that the cases find."""
    findings = findings or Findings()
    random = np.random.default_rng(seed)
    for case in cases:
        trial = Trial(case, kernels, memory, random, findings)
        trial.moments()
        trial.steps()
        for groups in case.groups:
            trial.group_norm(groups)
    return findings
