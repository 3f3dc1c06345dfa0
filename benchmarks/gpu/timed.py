"""What is timed, as rows of a csv."""

import collections
import time

from benchmarks.gpu import baselines
from benchmarks.gpu import work

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
# Also channels first.
BOTH_LAYOUTS = (SHAPES[0], SHAPES[3], SMALL[2])
STEPS = (SHAPES[0], SHAPES[2], SHAPES[3], SHAPES[6])

# Copies of x that are read and written.
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
# Were x, and dy, to be read once.
LEAST = {"forward": 2, "backward": 3, "forward + backward": 5}

# What a row is of; also Work has these.
Subject = collections.namedtuple("Subject", "shape dtype function size")


class Timed:
    """Rows of times and notes of what has none.

    Args:
        compile_seconds: what torch.compile may take; what comes after it has
            none.
    """

    def __init__(self, bench, kernels, memory, compile_seconds):
        self.bench, self.kernels, self.memory = bench, kernels, memory
        self.compile_seconds = compile_seconds
        self.copy = bench.copy_bandwidth()
        self.rows, self.notes = [], []
        self.failed = False

    def all(self, few):
        dtypes = ("bfloat16",) if few else ("bfloat16", "float32")
        for shape in FEW if few else SHAPES + SMALL:
            for dtype in dtypes:
                for function in ("identity", "silu"):
                    self.attempt(self.group_norm, shape, dtype, function)
        for shape in STEPS[:1] if few else STEPS:
            for dtype in dtypes:
                self.attempt(self.batch_norm, shape, dtype)

    def jax(self, found):
        """What jax_timed.times gives."""
        try:
            for shape, dtype, function, direction, candidate, us in found:
                size = work.bytes_of(shape, dtype)
                w = Subject(shape, dtype, function, size)
                self.row("group_norm", w, direction, candidate, "JAX", us)
        except RuntimeError as error:
            self.failed = True
            self.notes.append(f"note: JAX: {error}")

    def attempt(self, what, shape, dtype, *more):
        torch = self.memory.torch
        try:
            torch.cuda.empty_cache()
            if work.needed(shape, dtype) > torch.cuda.mem_get_info()[0]:
                raise torch.OutOfMemoryError("too little memory")
            what(work.Work(self.memory, shape, dtype, *more))
        except torch.OutOfMemoryError as error:
            self.note(what.__name__, shape, dtype, error)
        except RuntimeError as error:  # what was timed before is worth it
            self.failed = True
            self.note(what.__name__, shape, dtype, error)

    def note(self, what, shape, dtype, error):
        """The reason why something has no time."""
        reason = f"{type(error).__name__}: {str(error).strip()[:200]}"
        where = "x".join(map(str, shape))
        self.notes.append(f"note: {what}, {where} {dtype}: {reason}")

    def group_norm(self, w):
        ours = work.group_norm(w, self.kernels)
        # What differs by less than these two do is noise.
        candidates = {"ours": ours, "ours again": ours}
        if w.shape in BOTH_LAYOUTS:
            first = work.group_norm(w, self.kernels, work.FIRST)
            candidates["ours NCHW"] = first
        for name, layout in ("torch", work.LAST), ("torch NCHW", work.FIRST):
            candidates[name] = baselines.group_norm(w, layout)
        if self.compile_seconds > 0:
            start = time.monotonic()
            try:
                candidates["torch.compile"] = baselines.compiled(w)
            except Exception as error:  # whatever a compiler may raise
                self.note("torch.compile", w.shape, w.dtype, error)
            self.compile_seconds -= time.monotonic() - start
        self.passes("group_norm", w, candidates)

    def batch_norm(self, w):
        ours, alone = work.batch_norm(w, self.kernels)
        theirs = baselines.batch_norm(w)
        self.passes("batch_norm", w, {"ours": ours, "torch": theirs})
        for name, us in self.bench.medians(alone).items():
            self.row(name, w, "alone", "ours", "queued", us)

    def passes(self, what, w, candidates):
        for direction in work.Passes._fields:
            calls = {n: getattr(c, direction) for n, c in candidates.items()}
            times = {"queued": self.bench.medians(calls)}
            if w.shape in SMALL:
                times["alone"] = self.bench.medians(calls, alone=True)
                times["graph"] = self.replayed(w, calls)
            for how, found in times.items():
                for name, us in found.items():
                    self.row(what, w, direction, name, how, us)

    def replayed(self, w, calls):
        found = {}
        for name, call in calls.items():
            try:
                found[name] = self.bench.replayed(call)
            except Exception as error:  # of capture, by whoever is called
                self.note(f"graph of {name}", w.shape, w.dtype, error)
        return found

    def row(self, what, w, direction, candidate, how, us):
        second = 1e-6 * us
        moved = COPIES[what, direction] * w.size
        least = LEAST.get(direction, COPIES[what, direction]) * w.size
        self.rows.append(
            {
                "what": what,
                "shape": "x".join(map(str, w.shape)),
                "dtype": w.dtype,
                "activation": w.function,
                "pass": direction,
                "candidate": candidate,
                "how": how,
                "us": round(us, 2),
                "gb_per_s": round(moved / second / 1e9, 1),
                "of_copy": round(moved / second / self.copy, 3),
                "of_copy_read_once": round(least / second / self.copy, 3),
            }
        )
