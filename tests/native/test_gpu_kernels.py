"""The library has kernels for the GPUs that TensorFlow uses, or is not active.

There may be no GPU: what the kernels compute is tested on an emulation, by
`make -C tf_ops test`.
"""

import pytest

from keras_norms import ops
from keras_norms.native import cache
from keras_norms.native import dispatch
from keras_norms.native import loader
from tests.support.native_library import SERVED
from tests.support.native_library import X
from tests.support.native_library import built
from tf_ops.contract import definitions

with_nvrtc = pytest.mark.skipif(
    bool(loader.unusable_reason()) or not cache.gpus(),
    reason="no NVRTC to build kernels for GPUs with",
)


@built
def test_all_operations_are_registered_for_gpus():
    from tensorflow.python.framework import kernels

    loader.load(cache.XLA_LIBRARY)
    for operation in definitions.operations().values():
        name = f"KerasNorms>{operation.name}"
        found = kernels.get_registered_kernels_for_op(name)
        devices = [kernel.device_type for kernel in found.kernel]
        assert devices.count("GPU") == 3  # float32 and both of 16 bits
        assert devices.count("CPU") == 4
        assert devices.count("XLA_GPU_JIT") == 1


@built
def test_operations_for_cpus_are_not_registered_for_gpus():
    """TensorFlow would place them on a GPU, where they have no kernel."""
    from tensorflow.python.framework import kernels

    loader.load(cache.XLA_LIBRARY)
    names = [each.name for each in definitions.cpu_operations().values()]
    assert names == ["Depthwise", "DepthwiseGradient"]
    for name in names:
        found = kernels.get_registered_kernels_for_op(f"KerasNorms>{name}")
        devices = sorted(kernel.device_type for kernel in found.kernel)
        assert devices == [*["CPU"] * 4, "XLA_CPU_JIT"]


@built
def test_operations_for_cpus_do_not_run_where_there_are_gpus(monkeypatch):
    monkeypatch.setattr(dispatch, "gpus", lambda: ((9, 0),))
    monkeypatch.setattr(dispatch, "check_gpus", lambda gpus: None)
    assert dispatch.load_if_supported((2, 3), "float32")
    assert not dispatch.load_if_supported((2, 3), "float32", on_gpus=False)


@built
@with_nvrtc
def test_kernels_for_gpus_spill_no_registers_and_fit_twice():
    rows = (cache.folder() / "gpu_resources.csv").read_text().splitlines()
    assert (
        rows[0] == "architecture,kernel,registers,shared_bytes,spilled_bytes"
    )
    kernels = {}
    for row in rows[1:]:
        name, kernel, registers, shared, spilled = row.split(",")
        kernels.setdefault(name, set()).add(kernel)
        assert int(spilled) == 0, row
        # Two blocks of 256 threads, with 65,536 registers.
        assert int(registers) <= 128, row
        assert int(shared) <= 48 * 1024, row
    assert set(kernels) == set(cache.gpus()) - {"compute_90"}
    assert len(set(map(frozenset, kernels.values()))) == 1
    assert {"moments_float", "fused_half_wide_any"} <= kernels["sm_90"]


@built
@pytest.mark.parametrize(
    ("capability", "served", "refused"),
    [
        ((7, 0), SERVED, None),
        ((7, 5), SERVED, None),
        ((8, 9), SERVED, None),
        ((9, 0), SERVED, None),
        ((12, 0), SERVED, None),
        (
            (8, 0),
            SERVED,
            "The native library must have kernels for a GPU of compute "
            "capability 8.0. It has kernels for sm_70, sm_86, sm_90, "
            "compute_90.",
        ),
        (
            (6, 1),
            ["sm_70"],
            "The native library must have kernels for a GPU of compute "
            "capability 6.1. It has kernels for sm_70.",
        ),
        (
            None,
            SERVED,
            "The native library has kernels for NVIDIA GPUs only. TensorFlow "
            "uses a GPU of another vendor.",
        ),
        (
            (9, 0),
            [],
            "The native library has been built without kernels for GPUs. "
            "Run `pip install nvidia-cuda-nvrtc-cu12`, and build it again "
            "with `python -m keras_norms build`.",
        ),
    ],
)
def test_where_there_are_gpus_the_library_must_serve_them(
    monkeypatch, capability, served, refused
):
    monkeypatch.setattr(dispatch, "gpus", lambda: (capability,))
    monkeypatch.setattr(cache, "gpus", lambda: served)
    with ops.using_native("always"):
        # Composed there: TensorFlow would have it leave the GPU.
        assert not dispatch.load_if_supported(X.shape, "float64")
        if refused is None:
            assert dispatch.load_if_supported(X.shape, X.dtype)
            return
        with pytest.raises(RuntimeError) as error:
            dispatch.load_if_supported(X.shape, X.dtype)
    assert str(error.value) == (
        "The mode 'always', set by `KERAS_NORMS_NATIVE` or `using_native`, "
        "needs the native library, which is not active. " + refused
    )
