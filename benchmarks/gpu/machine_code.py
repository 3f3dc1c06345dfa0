"""Counts the instructions of the kernels in their machine code.

    python -m benchmarks.gpu.machine_code tf_ops/build/gpu/sm_90.cubin

prints one row for each kernel that reads 16 bytes at a time. It needs
nvdisasm: `pip install nvidia-cuda-nvdisasm`, or a CUDA toolkit.
"""

import collections
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

# The counts of a kernel: all instructions; those before the first access of 16
# bytes to global memory; and those of its loop with the most of these
# accesses, divided by their number.
Counts = collections.namedtuple("Counts", "instructions before per_access")

_KERNEL = re.compile(r"^\.text\.keras_norms_(\w+):")
_LABEL = re.compile(r"^(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;")
_BRANCH = re.compile(r"\bBRA\b.*`\((\.L_x_\d+)\)")
_ACCESS = re.compile(r"\b(LDG|STG)\.E\.128\b")


def disassembler():
    """The path of nvdisasm, or None."""
    for package in ("nvidia.cu13", "nvidia.cuda_nvdisasm"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for place in spec.submodule_search_locations or () if spec else ():
            path = pathlib.Path(place) / "bin" / "nvdisasm"
            if path.exists():
                return str(path)
    return shutil.which("nvdisasm")


def disassembled(cubin):
    """`{kernel: (instructions, {label: index})}` of a cubin."""
    text = subprocess.run(
        [disassembler(), "--print-code", str(cubin)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    kernels, lines, labels = {}, [], {}
    for line in text.splitlines():
        if found := _KERNEL.match(line):
            lines, labels = kernels[found[1]] = [], {}
        elif found := _LABEL.match(line):
            labels[found[1]] = len(lines)
        elif found := _INSTRUCTION.match(line):
            lines.append(found[1])
    return kernels


def loops(lines, labels):
    """(accesses, length) of the innermost loops that have accesses."""
    accesses = [bool(_ACCESS.search(line)) for line in lines]
    found = []
    for end, line in enumerate(lines):
        branch = _BRANCH.search(line)
        start = labels[branch[1]] if branch else end + 1
        inner = any(start <= other for other, _ in found)
        if any(accesses[start : end + 1]) and not inner:
            found.append((start, end))
    return [(sum(accesses[i : j + 1]), j + 1 - i) for i, j in found]


def counts(lines, labels):
    """The `Counts` of a kernel, or None if it has no loop with accesses."""
    most, length = max(loops(lines, labels), default=(0, 0))
    if not most:
        return None
    instructions = [line for line in lines if line.split()[0] != "NOP"]
    before = next(i for i, line in enumerate(lines) if _ACCESS.search(line))
    return Counts(len(instructions), before, round(length / most, 1))


def main():
    print("kernel," + ",".join(Counts._fields))
    for kernel, (lines, labels) in sorted(disassembled(sys.argv[1]).items()):
        found = counts(lines, labels)
        if found and "_wide" in kernel:
            print(",".join(map(str, (kernel, *found))))


if __name__ == "__main__":
    main()
