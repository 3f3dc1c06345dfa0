"""Tables of the times."""

import subprocess

from benchmarks import timing

SHORT = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
OTHERS = ("torch", "torch NCHW", "torch.compile")
LEGEND = """\
us: medians. GB/s: of 2 reads and 1 write of x forward, 4 and 1 backward. %: of
the bandwidth of a copy. once: the same for 1 read forward, 2 backward. x CL,
x NCHW, x comp: PyTorch's time divided by ours, for channels last, NCHW and
torch.compile."""


def environment(memory, copy):
    """What a figure depends on, for every row of the csv."""
    torch = memory.torch
    return timing.environment(
        "torch",
        gpu=torch.cuda.get_device_name(),
        driver=_driver(),
        cuda=torch.version.cuda,
        copy_gb_per_s=round(copy / 1e9, 1),
    )


def _driver():
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv"]
    try:
        found = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.decode().split()[-1]


class Times:
    """Rows by case, pass, candidate and kind of timing."""

    def __init__(self, rows):
        self.found = {
            tuple(
                row[key]
                for key in (
                    *("what", "shape", "dtype", "activation"),
                    *("pass", "candidate", "how"),
                )
            ): row
            for row in rows
        }

    def subjects(self, what, how):
        """The (shape, dtype, activation) of all rows of a kind."""
        keys = [key for key in self.found if (key[0], key[6]) == (what, how)]
        return list(dict.fromkeys(key[1:4] for key in keys))

    def us(self, *key):
        row = self.found.get(key)
        return f"{row['us']:9.1f}" if row else f"{'-':>9}"

    def share(self, *key):
        row = self.found.get(key)
        if not row:
            return f"{'-':>7}{'-':>5}{'-':>5}"
        return (
            f"{row['gb_per_s']:7.0f}{100 * row['of_copy']:5.0f}"
            f"{100 * row['of_copy_read_once']:5.0f}"
        )

    def times_ours(self, *key):
        *before, candidate, how = key
        ours = self.found.get((*before, "ours", how))
        other = self.found.get((*before, candidate, how))
        if not ours or not other:
            return f"{'-':>7}"
        return f"{other['us'] / ours['us']:7.2f}"


def _subject(shape, dtype, activation):
    return f"{shape:16}{SHORT[dtype]:5}{activation:9}"


def group_norms(times):
    columns = "       us   GB/s    % once   x CL x NCHW x comp"
    yield f"{'group norm':30}{'forward':47} | backward"
    yield f"{'':30}{columns} | {columns}"
    for subject in times.subjects("group_norm", "queued"):
        halves = []
        for direction in ("forward", "backward"):
            key = ("group_norm", *subject, direction)
            halves.append(
                times.us(*key, "ours", "queued")
                + times.share(*key, "ours", "queued")
                + "".join(times.times_ours(*key, o, "queued") for o in OTHERS)
            )
        yield _subject(*subject) + " | ".join(halves)


def small(times):
    """Small shapes, with the launch by the host and in a graph."""
    columns = "       us   x CL x NCHW x comp"
    names = [
        f"{direction}, {how}"
        for direction in ("forward", "backward")
        for how in ("with launch", "in a graph")
    ]
    yield f"{'small':30}" + " | ".join(f"{name:30}" for name in names)
    yield f"{'':30}" + " | ".join([columns] * 4)
    for subject in times.subjects("group_norm", "alone"):
        cells = []
        for direction in ("forward", "backward"):
            key = ("group_norm", *subject, direction)
            for how in ("alone", "graph"):
                ratios = (times.times_ours(*key, o, how) for o in OTHERS)
                cells.append(times.us(*key, "ours", how) + "".join(ratios))
        yield _subject(*subject) + " | ".join(cells)


def layouts(times):
    yield f"{'channels first':30}{'forward':21} | backward"
    for subject in times.subjects("group_norm", "queued"):
        key = ("group_norm", *subject)
        passes = [
            (*key, direction, "ours NCHW", "queued")
            for direction in ("forward", "backward")
        ]
        if passes[0] in times.found:
            cells = (times.us(*each) + times.share(*each) for each in passes)
            yield _subject(*subject) + " | ".join(cells)


def steps(times):
    names = ("moments", "apply", "gradient_sums", "gradient_combine")
    yield (
        f"{'steps':30}"
        + "".join(f"{name:>17}" for name in names)
        + ("  batch norm: x torch forward, backward")
    )
    for subject in times.subjects("batch_norm", "queued"):
        line = _subject(*subject)
        for name in names:
            key = (name, *subject, "alone", "ours", "queued")
            row = times.found.get(key)
            share = f"{100 * row['of_copy']:.0f}%" if row else ""
            line += f"{times.us(*key)} us{share:>5}"
        for direction in ("forward", "backward"):
            key = ("batch_norm", *subject, direction, "torch", "queued")
            line += times.times_ours(*key)
        yield line


def jax(times):
    yield f"{'by JAX':30}{'forward':16} | forward + backward"
    yield f"{'':30}       us  x XLA |       us  x XLA"
    for subject in times.subjects("group_norm", "JAX"):
        halves = []
        for direction in ("forward", "forward + backward"):
            key = ("group_norm", *subject, direction)
            ratio = times.times_ours(*key, "XLA", "JAX")
            halves.append(times.us(*key, "ours", "JAX") + ratio)
        yield _subject(*subject) + " | ".join(halves)


def noise(times):
    """The difference between two times of the same kernel."""
    differences = sorted(
        abs(times.found[*key[:5], "ours", key[6]]["us"] / row["us"] - 1)
        for key, row in times.found.items()
        if key[5] == "ours again" and key[6] == "queued"
    )
    if differences:
        middle, most = differences[len(differences) // 2], differences[-1]
        yield (
            f"noise between two times of ours: {100 * middle:.1f}% in the "
            f"median, "
            f"{100 * most:.1f}% at most"
        )


def tables(rows):
    times = Times(rows)
    for table in (steps, layouts, jax, small, group_norms):
        yield from table(times)
        yield ""
    yield LEGEND
    yield from noise(times)
