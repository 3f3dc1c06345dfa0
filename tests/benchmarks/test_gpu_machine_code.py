"""The machine code of the kernels for GPUs stays as short as it is.

`python -m benchmarks.gpu.machine_code` prints the counts. The limits are for
sm_90 and NVRTC 12.9.
"""

import pytest

from benchmarks.gpu import machine_code
from tests.support.gpu_build import CUBIN

# What each thread executes before its first access. In 8 steps it executes
# about as many instructions.
BEFORE = 290
# Instructions for each access of 16 bytes. An H100 executes about 140 of them
# in the time in which its memory serves one access.
PER_ACCESS = {
    "float": {
        "moments_{}": 25,
        "apply_{}_identity": 9,
        "sums_{}_identity": 11,
        "combine_{}_identity": 9,
        "fused_{}_identity": 25,
        "fused_gradient_{}_identity": 25,
    },
    "bfloat16": {
        "moments_{}": 62,
        "apply_{}_identity": 20,
        "apply_{}_relu": 29,
        "apply_{}_silu": 64,
        "sums_{}_identity": 28,
        "sums_{}_relu": 42,
        "sums_{}_silu": 91,
        "combine_{}_identity": 23,
        "combine_{}_relu": 31,
        "combine_{}_silu": 63,
        "fused_{}_identity": 63,
        "fused_{}_relu": 63,
        "fused_{}_silu": 63,
        "fused_gradient_{}_identity": 33,
        "fused_gradient_{}_relu": 46,
        "fused_gradient_{}_silu": 94,
    },
}


@pytest.fixture(scope="module")
def kernels(gpu_library):
    if machine_code.disassembler() is None:
        pytest.skip("no nvdisasm: `pip install nvidia-cuda-nvdisasm`")
    return machine_code.disassembled(CUBIN)


@pytest.mark.parametrize("dtype", PER_ACCESS)
def test_instructions(kernels, dtype):
    for name, limit in PER_ACCESS[dtype].items():
        kernel = name.format(f"{dtype}_wide")
        found = machine_code.counts(*kernels[kernel])
        assert found.per_access <= limit, kernel
        assert found.before <= BEFORE, kernel
