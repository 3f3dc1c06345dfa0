"""Calls each kernel two times and compares the bytes that it wrote."""

import numpy as np

from benchmarks.gpu.arrays import POISON
from benchmarks.gpu.arrays import exact
from benchmarks.gpu.arrays import stored

# Bytes behind every result, which a kernel must not write.
GUARD = 64


class RepeatedCalls:
    """Calls the kernels of a case; results start as poisoned memory.

    Differences between the two calls, and writes to other memory, are
    recorded as findings.
    """

    def __init__(self, case, kernels, memory, findings):
        self.case, self.findings = case, findings
        self.kernels, self.memory = kernels, memory

    def run(self, kernel, inputs, outputs, over=None, **how):
        """The results of a kernel, in float64.

        Args:
            inputs: arrays by name, or None.
            outputs: shapes by name. All are float32 except `result`.
            over: the input that `result` overwrites if the case is in place.
        """
        if not self.case.in_place:
            over = None
        first = self._once(kernel, inputs, outputs, over, how)
        second = self._once(kernel, inputs, outputs, over, how)
        found = {}
        for name, shape in outputs.items():
            if first[name].tobytes() != second[name].tobytes():
                self.wrong(kernel, f"{name} differs between runs")
            dtype = self.case.dtype if name == "result" else "float32"
            bits = first[name].view(_held(dtype))
            found[name] = exact(bits, dtype).reshape(shape)
        return found

    def _once(self, kernel, inputs, outputs, over, how):
        case, memory = self.case, self.memory
        self.kernels.forget()
        held, sizes = {}, {}
        for name, array in inputs.items():
            shift = case.shift if name in ("x", "dy") else 0
            if array is not None:
                held[name] = memory.put(array, shift * array.itemsize)
        for name, shape in outputs.items():
            dtype = case.dtype if name == "result" else "float32"
            sizes[name] = _held(dtype).itemsize * int(np.prod(shape))
            if name == "result" and over:
                held[name] = held[over]
            else:
                held[name] = memory.poisoned(sizes[name] + GUARD)
        getattr(self.kernels, kernel)(
            case.view, case.dtype, function=case.function, **held, **how
        )
        memory.synchronize()
        found = {name: memory.get(array) for name, array in held.items()}
        for name, array in inputs.items():
            if array is None or name == over:
                continue
            if found[name].tobytes() != array.tobytes():
                self.wrong(kernel, f"{name} was written to")
        for name, size in sizes.items():
            if (found[name][size:] != POISON).any():
                self.wrong(kernel, f"written past {name}")
        return {name: found[name][:size] for name, size in sizes.items()}

    def wrong(self, kernel, what):
        self.findings.failures.append(f"{kernel}: {what}, {self.case}")


def _held(dtype):
    return stored(np.zeros(1), dtype).dtype
