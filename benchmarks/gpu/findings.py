"""The errors of results, and their bounds."""

import numpy as np

TABLE = 2e-6  # the bound of errors of statistics in float32
# The error by rounding to a dtype: half a unit in the last place.
NARROW = {"float32": 1e-6, "float16": 6e-4, "bfloat16": 5e-3}


class Findings:
    """The worst errors by result and dtype, and the failures."""

    def __init__(self, failures=()):
        self.worst = {}
        self.failures = list(failures)
        self.count = 0

    def close(self, what, case, got, want, bound, size=1.0):
        """Fails unless |got - want| <= bound * max(size, 1)."""
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
