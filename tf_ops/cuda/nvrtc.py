"""Compiles kernels.cu for one architecture: `nvrtc.py sm_90 sm_90.cubin`.

NVRTC comes with a CUDA toolkit or with `pip install nvidia-cuda-nvrtc-cu12`;
no GPU is needed. The compiler's report on registers, shared memory and spills
is written to the cubin's folder, with the suffix .log. The cubin is empty if
this NVRTC does not know the architecture.
"""

import ctypes
import importlib.util
import pathlib
import re
import sys

ARCHITECTURES = (
    *("sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90"),
    *("sm_100", "sm_120"),
    "compute_90",
)
NAMES = ("libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so")
SOURCES = pathlib.Path(__file__).parent


def library():
    """NVRTC, or None if it is not installed."""
    folders = []
    for package in ("nvidia.cuda_nvrtc", "nvidia.cu13", "nvidia.cu12"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for place in spec.submodule_search_locations or () if spec else ():
            folders.append(pathlib.Path(place) / "lib")
    folders.append(pathlib.Path("/usr/local/cuda/lib64"))
    for name in NAMES:
        for path in (*(folder / name for folder in folders), name):
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                continue
    return None


class Program:
    """A program of NVRTC, compiled from one source file."""

    def __init__(self, nvrtc, path):
        self.nvrtc = nvrtc
        self.handle = ctypes.c_void_p()
        text = path.read_bytes()
        self._call(
            "CreateProgram",
            *(ctypes.byref(self.handle), text, path.name.encode()),
            *(0, None, None),
            handle=False,
        )

    def compile(self, options):
        encoded = [option.encode() for option in options]
        array = (ctypes.c_char_p * len(encoded))(*encoded)
        try:
            self._call("CompileProgram", len(encoded), array)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.text('ProgramLog')}") from None

    def bytes(self, what):
        size = ctypes.c_size_t()
        self._call(f"Get{what}Size", ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        self._call(f"Get{what}", data)
        return data.raw

    def text(self, what):
        return self.bytes(what).rstrip(b"\0").decode()

    def _call(self, name, *arguments, handle=True):
        first = (self.handle,) if handle else ()
        result = getattr(self.nvrtc, f"nvrtc{name}")(*first, *arguments)
        if result:
            words = self.nvrtc.nvrtcGetErrorString
            words.restype = ctypes.c_char_p
            raise RuntimeError(f"nvrtc{name}: {words(result).decode()}")


def compiled(nvrtc, architecture):
    """The cubin (or PTX) of an architecture, and the compiler's report."""
    program = Program(nvrtc, SOURCES / "kernels.cu")
    code = architecture.startswith("sm_")
    program.compile(
        [
            f"--gpu-architecture={architecture}",
            f"--include-path={SOURCES}",
            *("--std=c++17", "--device-as-default-execution-space"),
            *(["--ptxas-options=-v"] if code else []),
        ]
    )
    cubin = program.bytes("CUBIN" if code else "PTX")
    return cubin, program.text("ProgramLog")


def supported(nvrtc):
    """The numbers of the architectures that this NVRTC knows."""
    count = ctypes.c_int()
    nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    nvrtc.nvrtcGetSupportedArchs(numbers)
    return list(numbers)


def resources(report):
    """(kernel, registers, shared bytes, spilled bytes) from a report."""
    found = []
    pattern = re.compile(
        r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill "
        r"stores, (\d+) bytes spill loads.*?Used (\d+) registers(.*?)\n",
        re.DOTALL,
    )
    for name, *spills, registers, rest in pattern.findall(report):
        shared = re.search(r"(\d+) bytes smem", rest)
        found.append(
            (
                name.removeprefix("keras_norms_"),
                int(registers),
                int(shared[1]) if shared else 0,
                sum(map(int, spills)),
            )
        )
    return sorted(found)


def main():
    architecture, target = sys.argv[1], pathlib.Path(sys.argv[2])
    nvrtc = library()
    cubin, report = b"", ""
    if nvrtc is not None:
        number = int(architecture.partition("_")[2])
        if number in supported(nvrtc):
            cubin, report = compiled(nvrtc, architecture)
    target.write_bytes(cubin)
    target.with_suffix(".log").write_text(report)


if __name__ == "__main__":
    main()
