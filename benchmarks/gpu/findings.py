"""How close results must be, and how close they are."""

import numpy as np

TABLE = 2e-6  # what float32 tables may be off
# What rounding to a type may add: half a unit in the last place.
NARROW = {"float32": 1e-6, "float16": 6e-4, "bfloat16": 5e-3}


class Findings:
    """The worst errors, by what they are of and type; and failures."""

    def __init__(self, failures=()):
        self.worst = {}
        self.failures = list(failures)
        self.count = 0

    def close(self, what, case, got, want, bound, size=1.0):
        """|got - want| within bound * max(size, 1); a NaN is not."""
        self.count += 1
        error = np.abs(got - want) / np.maximum(size, 1)
        worst = float(np.max(error, initial=0))
        self.note(what, case.dtype, worst, bound, case)

    def note(self, what, dtype, worst, bound, case):
        key = (what, dtype)
        if not worst <= bound:
            self.failures.append(f"{what}: {worst:.2g} of {bound:.2g}, {case}")
        self.worst[key] = np.maximum(self.worst.get(key, 0), worst)

    def table(self, dtypes):
        lines = [f"{'worst error':26}" + "".join(f"{d:>10}" for d in dtypes)]
        for what in dict.fromkeys(what for what, _ in self.worst):
            errors = [self.worst.get((what, d)) for d in dtypes]
            shown = ("-" if e is None else f"{e:.1e}" for e in errors)
            lines.append(f"{what:26}" + "".join(f"{s:>10}" for s in shown))
        return "\n".join(lines)
