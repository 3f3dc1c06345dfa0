"""The timed calls, as rows of a csv."""

import collections
import time

from benchmarks.gpu import baselines
from benchmarks.gpu import workloads

SHAPES = (
    (32, 64, 64, 256),
    (1, 512, 512, 256),
    (8, 112, 112, 64),
    (32, 56, 56, 64),
    (1, 1024, 1024, 128),
    (16, 128, 128, 320),
    (128, 7, 7, 2048),
)
SMALL = ((1, 16, 16, 320), (2, 8, 8, 1280), (8, 32, 32, 128), (32, 8, 8, 64))
FEW = (SHAPES[0], SMALL[0])
# Shapes that are also timed with channels first.
BOTH_LAYOUTS = (SHAPES[0], SHAPES[3], SMALL[2])
STEPS = (SHAPES[0], SHAPES[2], SHAPES[3], SHAPES[6])

# Tensors of the size of x that are read or written.
COPIES = {
    ("group_norm", "forward"): 3,
    ("group_norm", "backward"): 5,
    ("group_norm", "forward + backward"): 8,
    ("batch_norm", "forward"): 3,
    ("batch_norm", "backward"): 5,
    ("moments", "alone"): 1,
    ("apply", "alone"): 2,
    ("gradient_sums", "alone"): 2,
    ("gradient_combine", "alone"): 3,
}
# The same, if x and dy were read once.
READ_ONCE = {"forward": 2, "backward": 3, "forward + backward": 5}

# The case of a row. A Workload has the same attributes.
Subject = collections.namedtuple("Subject", "shape dtype function size")


class Suite:
    """Collects rows of times, and notes on cases without a time.

    Args:
        compile_seconds: the time limit of torch.compile. Cases after it are
            not compiled.
    """

    def __init__(self, bench, kernels, memory, compile_seconds):
        self.bench, self.kernels, self.memory = bench, kernels, memory
        self.compile_seconds = compile_seconds
        self.copy = bench.copy_bandwidth()
        self.rows, self.notes = [], []
        self.failed = False

    def run(self, few):
        dtypes = ("bfloat16",) if few else ("bfloat16", "float32")
        for shape in FEW if few else SHAPES + SMALL:
            for dtype in dtypes:
                for function in ("identity", "silu"):
                    self.attempt(self.group_norm, shape, dtype, function)
        for shape in STEPS[:1] if few else STEPS:
            for dtype in dtypes:
                self.attempt(self.batch_norm, shape, dtype)

    def jax(self, found):
        """Adds the rows of jax_suite.times."""
        try:
            for shape, dtype, function, direction, candidate, us in found:
                size = workloads.bytes_of(shape, dtype)
                workload = Subject(shape, dtype, function, size)
                self.row(
                    "group_norm", workload, direction, candidate, "JAX", us
                )
        except RuntimeError as error:
            self.failed = True
            self.notes.append(f"note: JAX: {error}")

    def attempt(self, method, shape, dtype, *more):
        torch = self.memory.torch
        try:
            torch.cuda.empty_cache()
            if workloads.needed(shape, dtype) > torch.cuda.mem_get_info()[0]:
                raise torch.OutOfMemoryError("too little memory")
            method(workloads.Workload(self.memory, shape, dtype, *more))
        except torch.OutOfMemoryError as error:
            self.note(method.__name__, shape, dtype, error)
        except RuntimeError as error:  # keep the rows of earlier cases
            self.failed = True
            self.note(method.__name__, shape, dtype, error)

    def note(self, what, shape, dtype, error):
        """Records why a case has no time."""
        reason = f"{type(error).__name__}: {str(error).strip()[:200]}"
        where = "x".join(map(str, shape))
        self.notes.append(f"note: {what}, {where} {dtype}: {reason}")

    def group_norm(self, workload):
        ours = workloads.group_norm(workload, self.kernels)
        # A difference smaller than that between these two is noise.
        candidates = {"ours": ours, "ours again": ours}
        if workload.shape in BOTH_LAYOUTS:
            first = workloads.group_norm(
                workload, self.kernels, workloads.FIRST
            )
            candidates["ours NCHW"] = first
        candidates["torch"] = baselines.group_norm(workload, workloads.LAST)
        candidates["torch NCHW"] = baselines.group_norm(
            workload, workloads.FIRST
        )
        if self.compile_seconds > 0:
            start = time.monotonic()
            try:
                candidates["torch.compile"] = baselines.compiled(workload)
            except Exception as error:  # a compiler may raise anything
                self.note(
                    "torch.compile", workload.shape, workload.dtype, error
                )
            self.compile_seconds -= time.monotonic() - start
        self.passes("group_norm", workload, candidates)

    def batch_norm(self, workload):
        ours, alone = workloads.batch_norm(workload, self.kernels)
        theirs = baselines.batch_norm(workload)
        self.passes("batch_norm", workload, {"ours": ours, "torch": theirs})
        for name, us in self.bench.medians(alone).items():
            self.row(name, workload, "alone", "ours", "queued", us)

    def passes(self, what, workload, candidates):
        for direction in workloads.Directions._fields:
            calls = {n: getattr(c, direction) for n, c in candidates.items()}
            times = {"queued": self.bench.medians(calls)}
            if workload.shape in SMALL:
                times["alone"] = self.bench.medians(calls, alone=True)
                times["graph"] = self.replayed(workload, calls)
            for how, found in times.items():
                for name, us in found.items():
                    self.row(what, workload, direction, name, how, us)

    def replayed(self, workload, calls):
        found = {}
        for name, call in calls.items():
            try:
                found[name] = self.bench.replayed(call)
            except Exception as error:  # capture may fail in any candidate
                self.note(
                    f"graph of {name}", workload.shape, workload.dtype, error
                )
        return found

    def row(self, what, workload, direction, candidate, how, us):
        second = 1e-6 * us
        moved = COPIES[what, direction] * workload.size
        least = (
            READ_ONCE.get(direction, COPIES[what, direction]) * workload.size
        )
        self.rows.append(
            {
                "what": what,
                "shape": "x".join(map(str, workload.shape)),
                "dtype": workload.dtype,
                "activation": workload.function,
                "pass": direction,
                "candidate": candidate,
                "how": how,
                "us": round(us, 2),
                "gb_per_s": round(moved / second / 1e9, 1),
                "of_copy": round(moved / second / self.copy, 3),
                "of_copy_read_once": round(least / second / self.copy, 3),
            }
        )
