"""Arrays as bytes in the memory of PyTorch, CuPy or NumPy.

All have one interface: `put` and `get` copy NumPy arrays, `poisoned` allocates
bytes for results, `address` returns the address of an array, and `stream` is
the stream that kernels run on. Poisoned bytes are 0xff, a NaN in every type.
"""

import numpy as np

POISON = 0xFF


def stored(values, dtype):
    """float64 values in a dtype. NumPy lacks bfloat16: its bits as uint16."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    bits = np.ascontiguousarray(values, "float32").view("uint32")
    # Rounds to the nearest value, ties to even.
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype("uint16")


def exact(array, dtype):
    """The result of `stored` in float64."""
    if dtype == "bfloat16":
        array = (array.astype("uint32") << 16).view("float32")
    return array.astype("float64")


def _bytes(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Numpy:
    """Memory of the host, for an emulation of CUDA's driver."""

    name = "numpy"
    stream = None

    def poisoned(self, size, shift=0):
        """`size` bytes, `shift` past an address that is a multiple of 64."""
        space = np.full(size + shift + 64, POISON, np.uint8)
        start = -space.ctypes.data % 64 + shift
        return space[start : start + size]

    def put(self, array, shift=0):
        held = self.poisoned(array.nbytes, shift)
        held[:] = _bytes(array)
        return held

    def get(self, held):
        return held.copy()

    def address(self, array):
        return array.ctypes.data

    def synchronize(self):
        pass


class Torch:
    """Memory of PyTorch. `address` also takes other tensors."""

    name = "torch"

    def __init__(self, device="cuda"):
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("PyTorch finds no GPU")
        self.torch, self.device = torch, torch.device(device)

    @property
    def stream(self):
        if self.device.type == "cpu":
            return None
        return self.torch.cuda.current_stream().cuda_stream

    def poisoned(self, size, shift=0):
        space = self.torch.full(
            (size + shift,),
            POISON,
            dtype=self.torch.uint8,
            device=self.device,
        )
        return space[shift:]

    def put(self, array, shift=0):
        held = self.poisoned(array.nbytes, shift)
        # PyTorch warns about read-only memory.
        held.copy_(self.torch.from_numpy(_bytes(array).copy()))
        return held

    def get(self, held):
        return held.cpu().numpy()

    def address(self, array):
        return array.data_ptr()

    def synchronize(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()


class Cupy:
    name = "cupy"

    def __init__(self):
        import cupy

        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError:
            count = 0
        if count == 0:
            raise RuntimeError("CuPy finds no GPU")
        self.cupy = cupy

    @property
    def stream(self):
        return self.cupy.cuda.get_current_stream().ptr

    def poisoned(self, size, shift=0):
        return self.cupy.full(size + shift, POISON, self.cupy.uint8)[shift:]

    def put(self, array, shift=0):
        held = self.poisoned(array.nbytes, shift)
        if array.size:
            held.set(_bytes(array))
        return held

    def get(self, held):
        return held.get()

    def address(self, array):
        return array.data.ptr

    def synchronize(self):
        self.cupy.cuda.get_current_stream().synchronize()


MEMORIES = {each.name: each for each in (Torch, Cupy, Numpy)}


def chosen(name=None):
    """The memory with this name, or the first that finds a GPU."""
    reasons = []
    for each in (name,) if name else ("torch", "cupy"):
        try:
            return MEMORIES[each]()
        except (ImportError, RuntimeError) as error:
            reasons.append(str(error))
    raise SystemExit(
        f"no memory for the kernels: {'; '.join(reasons)}. `--memory numpy` "
        "is for the emulation."
    )
