"""The probe of GPUs: launches of all kernels before a layer relies on them.

There may be no GPU: the probe runs on the CPU here, and on an emulation.
"""

import collections
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import cache
from keras_norms.native import dispatch
from keras_norms.native import gpus
from keras_norms.native import loader
from tests.benchmarks import test_gpu_harness as harness
from tests.support.native_library import NO_MORE
from tests.support.native_library import SERVED
from tests.support.native_library import SLOWER
from tests.support.native_library import built
from tf_ops.contract import definitions
from tf_ops.cuda import nvrtc

FAMILIES = tuple(definitions.operations())
REMEDY = (
    " Update the GPU's driver. Build it again with `python -m keras_norms "
    "build --force`."
)
X = tf.constant(np.random.default_rng(0).normal(size=(2, 5, 4)), "float32")


class Recorded:
    """Operations, with what was called of them; or each fails."""

    def __init__(self, operations=None, fails=None):
        self.operations, self.fails = operations, fails
        self.calls = collections.Counter()

    def __getattr__(self, name):
        def call(x, *arguments, axis, **how):
            family = name.removeprefix("keras_norms_")
            self.calls[family, x.dtype.name, axis, x.device[-5:]] += 1
            if self.fails is not None:
                raise self.fails
            function = getattr(self.operations, name)
            return function(x, *arguments, axis=axis, **how)

        return call


@pytest.fixture
def operations():
    return loader.load()


@built
def test_every_family_dtype_and_layout_runs_on_each_device(operations):
    """Also while a graph is traced, which stays as it is."""
    recorded = Recorded(operations)
    names = [d.name for d in tf.config.list_logical_devices("CPU")]

    @tf.function
    def traced(x):
        gpus.probe(recorded, names)
        return x

    graph = traced.get_concrete_function(X).graph
    types = {operation.type for operation in graph.get_operations()}
    assert types <= {"Placeholder", "Identity", "NoOp"}
    assert set(recorded.calls) == {
        (family, dtype, axis, name[-5:])
        for family in FAMILIES
        for dtype in ("float32", "float16", "bfloat16")
        for axis in (1, 2)
        for name in names
    }


def refusing():
    """Operations as on a GPU whose driver refuses the image."""
    words = (
        "keras_norms: cuModuleLoadData: device kernel image is invalid (CUDA "
        "error 200)"
    )
    return Recorded(fails=tf.errors.InternalError(None, None, words))


REFUSED = (
    "The kernels of the native library do not run on /device:CPU:0: "
    "keras_norms: cuModuleLoadData: device kernel image is invalid (CUDA "
    f"error 200) (InternalError).{REMEDY}"
)


@pytest.fixture
def gpu(monkeypatch):
    """Has the CPU taken for a GPU; gives what its operations can be set by."""
    devices = tf.config.list_logical_devices("CPU")[:1]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: devices)
    monkeypatch.setattr(dispatch, "gpus", lambda: ((9, 0),))
    monkeypatch.setattr(cache, "gpus", lambda: SERVED)
    dispatch._warn.cache_clear()
    known = {}
    loaded = vars(sys.modules["_keras_norms_loaded"])
    monkeypatch.setitem(loaded, "libraries", known)
    yield lambda operations: known.update({cache.LIBRARY: operations})
    dispatch._warn.cache_clear()


@pytest.mark.parametrize("traced", [False, True])
def test_a_refused_image_is_composed_with_one_warning(gpu, traced):
    operations = refusing()
    gpu(operations)
    layer = layers.InstanceNormalization()
    call = tf.function(layer) if traced else layer
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = [call(X), layers.InstanceNormalization()(X)]
    assert [str(t.message) for t in caught] == [f"{SLOWER}{REFUSED}{NO_MORE}"]
    # Once a process.
    assert operations.calls.total() == 1
    with ops.using_native("never"):
        want = layer(X)
    for result in results:
        np.testing.assert_allclose(result, want, atol=1e-6)
    with ops.using_native("always"), pytest.raises(RuntimeError) as refused:
        dispatch.load_if_supported(X.shape, X.dtype)
    assert str(refused.value) == (
        "The mode 'always', set by `KERAS_NORMS_NATIVE` or `using_native`, "
        "needs the native library, which is not active. " + REFUSED
    )


@built
def test_a_gpu_that_passes_is_probed_once(operations, gpu):
    recorded = Recorded(operations)
    gpu(recorded)
    assert dispatch.load_if_supported(X.shape, X.dtype)
    launches = recorded.calls.total()
    assert launches > 100
    assert dispatch.load_if_supported(X.shape, X.dtype)
    assert recorded.calls.total() == launches


def test_gpus_that_cannot_be_listed_are_reported(monkeypatch):
    def refuse(_):
        raise RuntimeError("no such driver")

    dispatch.gpus.cache_clear()
    dispatch._warn.cache_clear()
    monkeypatch.setattr(tf.config, "list_logical_devices", refuse)
    with pytest.warns(UserWarning, match="cannot list the GPUs") as caught:
        assert not dispatch.load_if_supported(X.shape, X.dtype)
    assert [str(t.message) for t in caught] == [
        f"{SLOWER}TensorFlow cannot list the GPUs: no such driver "
        "(RuntimeError). Update TensorFlow and the GPU's driver."
        f"{NO_MORE}"
    ]
    dispatch._warn.cache_clear()


# An emulated CUDA driver that prints the name of each kernel when the kernel
# is looked up, and prints a line for each launch with cluster attributes.
PRINTING = """
#include <dlfcn.h>
#include <cstdio>
template <class F>
F* Real(const char* name, F*) {
  return reinterpret_cast<F*>(dlsym(dlopen(EMULATED, RTLD_NOW), name));
}
void Print(const char* name) {
  std::printf("%s\\n", name);
  std::fflush(stdout);
}
extern "C" int cuModuleGetFunction(void** function, void* module,
                                   const char* name) {
  Print(name);
  return Real("cuModuleGetFunction", cuModuleGetFunction)(function, module,
                                                          name);
}
struct Config {
  unsigned shape[7];
  void *stream, *attributes;
  unsigned count;
};
extern "C" int cuLaunchKernelEx(const Config* config, void* function,
                                void** parameters, void** extra) {
  if (config->count != 0) Print("cluster");
  return Real("cuLaunchKernelEx", cuLaunchKernelEx)(config, function,
                                                    parameters, extra);
}
"""


@pytest.mark.usefixtures("gpu_library")
def test_every_kernel_of_an_image_is_launched(tmp_path):
    emulated = harness.BUILD / "emulated" / "libcuda.so.1"
    (tmp_path / "printing.cc").write_text(PRINTING)
    target = tmp_path / "libcuda.so.1"
    subprocess.run(
        [
            *("g++", "-shared", "-fPIC", f'-DEMULATED="{emulated}"'),
            *(tmp_path / "printing.cc", "-o", target),
            *("-Wl,--no-as-needed", emulated, "-ldl"),
        ],
        check=True,
    )
    *names, last = harness.python(
        *("-m", "tests.native.emulated_gpu", harness.LIBRARY), driver=tmp_path
    ).splitlines()
    assert last == "passed"
    log = (harness.BUILD / "gpu" / "sm_90.log").read_text()
    kernels = {kernel for kernel, *_ in nvrtc.resources(log)}
    printed = {name.removeprefix("keras_norms_") for name in names}
    assert printed == kernels | {"cluster"}


@pytest.mark.usefixtures("gpu_library")
def test_what_the_driver_says_of_a_damaged_image(tmp_path):
    content = harness.LIBRARY.read_bytes()
    # Machine code is ELF, and so is the library around it.
    damaged = content[:4] + content[4:].replace(b"\x7fELF", b"\0ELF")
    (tmp_path / "library.so").write_bytes(damaged)
    arguments = ("-m", "tests.native.emulated_gpu", tmp_path / "library.so")
    assert harness.python(*arguments) == REFUSED
