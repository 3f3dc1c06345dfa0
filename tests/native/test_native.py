"""The native library: where it runs, what it gives, and its absence."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import cache
from keras_norms.native import dispatch
from keras_norms.native import loader
from keras_norms.native import manifest
from keras_norms.native import ops as native_ops
from keras_norms.native.build import build
from keras_norms.native.errors import UnusableError
from tests.support.refusals import refusal
from tf_ops.contract import definitions

ROOT = pathlib.Path(__file__).parents[2]
# Where there is a compiler there must be a library: `make native`.
built = pytest.mark.skipif(
    bool(loader.unusable_reason()) and shutil.which("g++") is None,
    reason="no compiler to build the native library with",
)
NOT_BUILT = (
    "The native library has not been built for this version of TensorFlow. "
    "Build it with `python -m keras_norms build`."
)
X = np.random.default_rng(0).normal(3, 2, (5, 6, 7, 12)).astype("float32")


def operations(function, *arguments):
    """The native operations in a function's graph."""
    traced = tf.function(function)
    traced(*arguments)
    graph = traced.get_concrete_function(*arguments).graph
    names = (operation.type for operation in graph.get_operations())
    return sorted(n.partition(">")[2] for n in names if "KerasNorms>" in n)


def gradients(layer, **call):
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **call)
        return y, tape.gradient(y, [x, *(v.value for v in layer.weights)])

    return both


@built
def test_group_norm_is_one_kernel_and_batch_norm_the_two_passes():
    x = tf.constant(X)
    with ops.using_native("always"):
        group = layers.GroupNormalization(groups=4, activation="silu")
        assert operations(gradients(group), x) == [
            "GroupNorm",
            "GroupNormGradient",
        ]
        four = ["Apply", "GradientCombine", "GradientSums", "Moments"]
        masked = gradients(group, mask=np.ones((5, 6), bool))
        assert operations(masked, x) == four
        batch = layers.BatchNormalization()
        assert operations(gradients(batch, training=True), x) == four
        assert operations(batch, x) == ["Apply"]
    with ops.using_native("never"):
        assert operations(gradients(group), x) == []


# TensorFlow's have constants in float32, whatever the dtype.
FLOAT32_CONSTANTS = ("gelu", "leaky_relu", ops.gelu_tanh)


@keras.saving.register_keras_serializable(package="tests")
def scaled(x):
    return keras.ops.tanh(2.0 * x)


# Those of the library, as Keras names them, and one that it does not have.
NAMES = {"identity": "linear", "gelu_tanh": ops.gelu_tanh}
ACTIVATIONS = (
    *(NAMES.get(name, name) for name in definitions.activations()),
    scaled,
)


@built
@pytest.mark.parametrize(
    "activation", ACTIVATIONS, ids=lambda a: getattr(a, "__name__", a)
)
@pytest.mark.parametrize(
    ("batch", "dtype", "jit"),
    [
        (False, "float32", False),
        (False, "float64", False),
        (True, "float64", False),
        (True, "float32", True),
    ],
)
def test_activations_are_those_of_keras(activation, jit, dtype, batch):
    """Also in the gradient, and in the gradient of that."""
    kind = layers.BatchNormalization if batch else layers.GroupNormalization
    arguments = {} if batch else {"groups": 3}
    call = {"training": True} if batch else {}
    x = tf.constant(X[:, :, 0], dtype)

    def third_of(mode):
        keras.utils.set_random_seed(0)
        layer = kind(activation=activation, dtype=dtype, **arguments)
        layer.build(x.shape)
        layer.gamma.assign(np.linspace(-1, 2, 12))

        @tf.function(jit_compile=jit)
        def run(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = layer(x, **call)
                    loss = tf.reduce_sum(y**3)
                sources = [x, layer.gamma.value, layer.beta.value]
                first = inner.gradient(loss, sources)
                twice = sum(tf.reduce_sum(g**2) for g in first)
            return y, first, outer.gradient(twice, sources)

        with ops.using_native(mode):
            return tf.nest.flatten(run(x))

    close = 1e-11 if dtype == "float64" else 2e-4
    if dtype == "float64" and activation in FLOAT32_CONSTANTS:
        close = 1e-6
    for got, want in zip(third_of("always"), third_of("never"), strict=True):
        scale = np.abs(want).max() + 1
        np.testing.assert_allclose(got / scale, want / scale, 0, close)


@built
@pytest.mark.parametrize("name", definitions.activations())
@pytest.mark.parametrize(
    ("dtype", "close"),
    [
        ("float32", 2e-6),
        ("float64", 1e-12),
        ("float16", 4e-3),
        ("bfloat16", 3e-2),
    ],
)
def test_activations_have_the_kinks_of_keras(name, dtype, close):
    """Kinks are at some of these numbers, which every type represents."""
    function = keras.activations.get(NAMES.get(name, name))
    assert native_ops.activation(function) == name
    if dtype == "float64" and NAMES.get(name, name) in FLOAT32_CONSTANTS:
        close = 1e-6
    x = tf.constant(np.arange(-8, 8.25, 0.25)[None, :, None], dtype)
    one = tf.ones([1, 1], "float64" if dtype == "float64" else "float32")

    def apply(x):
        return loader.load().keras_norms_apply(
            *(x, tf.zeros([0], "bool"), 0 * one, one, 0 * one),
            activation=name,
            axis=2,
            examples=1,
        )

    for compiled in (False, True):
        if compiled:
            loader.load(cache.XLA_LIBRARY)
            apply = tf.function(apply, jit_compile=True)
        for got, want in zip(
            (apply(x), slopes(apply, x)),
            (function(x), slopes(function, x)),
            strict=True,
        ):
            got, want = (np.float64(values) for values in (got, want))
            atol = close * (1 + np.abs(want).max())
            np.testing.assert_allclose(got, want, atol=atol, rtol=0)


def slopes(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x)


@built
@pytest.mark.parametrize("jit", [False, True])
def test_a_large_mean_costs_no_digits_in_gradients(jit):
    x = np.float64(X[:, :, 0]) + 1e4
    dy = np.random.default_rng(1).normal(size=x.shape)

    def gradient(dtype, mode):
        layer = layers.GroupNormalization(groups=3, dtype=dtype)
        with ops.using_native(mode):
            layer.build(x.shape)

            @tf.function(jit_compile=jit)
            def run(x, dy):
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = layer(x)
                return y, tape.gradient(y, x, dy)

            float32 = np.float32(x)
            return run(*(tf.constant(a, dtype) for a in (float32, dy)))

    want = gradient("float64", "never")
    for got, exact in zip(gradient("float32", "always"), want, strict=True):
        np.testing.assert_allclose(got, exact, atol=1e-5)


# There may be no GPU: what the kernels compute is tested on an emulation, by
# `make -C tf_ops test`.
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


SERVED = ["sm_70", "sm_86", "sm_90", "compute_90"]


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
    monkeypatch.setattr(dispatch, "_gpus", lambda: (capability,))
    monkeypatch.setattr(cache, "gpus", lambda: served)
    with ops.using_native("always"):
        # Composed there: TensorFlow would have it leave the GPU.
        assert not dispatch.activate(X.shape, "float64")
        if refused is None:
            assert dispatch.activate(X.shape, X.dtype)
            return
        with pytest.raises(RuntimeError) as error:
            dispatch.activate(X.shape, X.dtype)
    assert str(error.value) == (
        "The mode KERAS_NORMS_NATIVE=always needs the native library, which "
        "is not active. " + refused
    )


# In a separate process, because a loaded library stays loaded.
@built
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_moments_have_gradients_of_both_orders(masked, jit):
    """Of a sum of weighted means and variances, and of its gradient's square,
    by the formulas: 2 w (x - mean) / n, w / n, (2 w / n)**2 (x - mean)."""
    random = np.random.default_rng(1)
    x, mask = X.astype("float64"), np.ones(X.shape[:-1], bool)
    if masked:
        mask = random.random(mask.shape) > 0.5
        mask[0] = False
    weight, count = mask[..., None], np.maximum(mask.sum((1, 2)), 1)
    about, over = (random.normal(size=(5, 12)) for _ in range(2))
    mean = (x * weight).sum((1, 2)) / count[:, None]
    centered = (x - mean[:, None, None]) * weight
    slope = (2 * over / count[:, None])[:, None, None]
    first = slope * centered + (about / count[:, None])[:, None, None] * weight

    @tf.function(jit_compile=jit)
    def derivatives(x, mask):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(x)
                moments = ops.instance_moments(x, mask)
                spread = tf.reduce_sum(over * moments.variance)
                total = tf.reduce_sum(about * moments.mean) + spread
            squares = tf.reduce_sum(inner.gradient(spread, x) ** 2) / 2
        return inner.gradient(total, x), outer.gradient(squares, x)

    with ops.using_native("always"):
        have = derivatives(tf.constant(x), mask if masked else None)
    np.testing.assert_allclose(have[0], first, atol=1e-14)
    np.testing.assert_allclose(have[1], slope**2 * centered, atol=1e-14)


@built
@pytest.mark.parametrize("masked", [False, True])
def test_similarity_reads_squares_from_moments(masked):
    mask = np.ones(X.shape[:-1], bool) if masked else None
    with ops.using_native("always"):
        assert operations(
            lambda x: ops.feature_similarity(x, mask), tf.constant(X)
        ) == ["Moments"]


HEAD = """
import os, sys, warnings
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(
    int(os.environ.get("THREADS", "2")))
import keras_norms
from keras_norms import layers, ops
from keras_norms.native import loader
x = tf.constant(np.random.default_rng(0).normal(size=(4, 9, 8)), "float32")
layer = layers.GroupNormalization(groups=2)
def native(function, *arguments):
    traced = tf.function(function)
    traced(*arguments)
    graph = traced.get_concrete_function(*arguments).graph
    return any("KerasNorms>" in o.type for o in graph.get_operations())
"""


def process(code, **environment):
    """What a process printed that ran HEAD, then code."""
    result = subprocess.run(
        [sys.executable, "-c", HEAD + code],
        cwd=ROOT,
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_NORMS_NATIVE": "auto",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


FALLS_BACK = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        y = layer(x)
assert not native(layer, x)
messages = [str(warning.message) for warning in caught]
assert len(messages) == 1, messages
print(messages[0])
os.environ["KERAS_NORMS_NATIVE"] = "never"
np.testing.assert_array_equal(y, layer(x))
os.environ["KERAS_NORMS_NATIVE"] = "always"
try:
    layer(x)
except RuntimeError as error:
    print("always:", error)
"""
SLOWER = (
    "keras_norms is running without its native library and will be slower. "
)
NO_MORE = " Set KERAS_NORMS_NATIVE=never to silence this warning."


def fallback(folder):
    """Why a process does not use the library in a folder.

    The process states it in one warning, and in the error of "always".
    """
    warning, always = process(
        FALLS_BACK, KERAS_NORMS_CACHE=str(folder)
    ).splitlines()[:2]
    assert always.startswith("always: ")
    assert warning.startswith(SLOWER)
    assert warning.endswith(NO_MORE)
    return warning.removeprefix(SLOWER).removesuffix(NO_MORE)


def test_without_a_library_the_composed_path_runs(tmp_path):
    assert fallback(tmp_path) == NOT_BUILT


@pytest.fixture
def copied(tmp_path):
    """A folder with a copy of the library, and the library's path in it."""
    place = tmp_path / "cache" / cache.key()
    shutil.copytree(cache.folder(), place)
    place.parent.chmod(0o700)
    return place / cache.LIBRARY


@built
def test_a_truncated_library_is_not_loaded(copied):
    library = copied.read_bytes()
    copied.write_bytes(library[: len(library) // 2])
    assert fallback(copied.parents[1]) == (
        f"{copied} has changed since it was built. Build it again with "
        "`python -m keras_norms build --force`."
    )


@built
@pytest.mark.parametrize("what", ["library", "folder", "cache"])
def test_what_others_can_write_is_not_loaded(copied, what):
    open_to_all = {
        "library": copied,
        "folder": copied.parent,
        "cache": copied.parents[1],
    }[what]
    open_to_all.chmod(open_to_all.stat().st_mode | 0o002)
    assert fallback(copied.parents[1]) == (
        "The native library must be writable only by its owner. Other users "
        f"can write {open_to_all}. Run `chmod go-w` on it, or set "
        "KERAS_NORMS_CACHE to a folder of your own."
    )


@built
def test_a_file_that_is_no_library_is_reported(copied):
    copied.write_bytes(b"no library")
    manifest.record(copied.parent)
    assert "The native library cannot be loaded: " in fallback(
        copied.parents[1]
    )


@built
def test_without_xla_s_part_compiled_functions_are_composed(copied):
    (copied.parent / cache.XLA_LIBRARY).unlink()
    code = """
assert native(layer, x)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    y = tf.function(layer, jit_compile=True)(x)
assert "keras_norms build" in str(caught[0].message)
np.testing.assert_allclose(y, layer(x), atol=1e-6)
print("good")
"""
    assert "good" in process(code, KERAS_NORMS_CACHE=str(copied.parents[1]))


@built
def test_the_library_loads_after_xla_has_compiled_and_again():
    code = """
tf.function(lambda x: x + 1, jit_compile=True)(x)
first = loader.load()
y = tf.function(layer, jit_compile=True)(x)
assert loader.load() is first
for name in [n for n in sys.modules if n.split(".")[0] == "keras_norms"]:
    del sys.modules[name]
from keras_norms import layers
from keras_norms.native import loader as again
assert again.load() is first
os.environ["KERAS_NORMS_NATIVE"] = "always"
second = layers.GroupNormalization(groups=2)
np.testing.assert_allclose(second(x), layer(x), atol=1e-6)
np.testing.assert_allclose(
    tf.function(second, jit_compile=True)(x), y, atol=1e-6)
print("good")
"""
    assert "good" in process(code)


@built
def test_bits_do_not_depend_on_the_number_of_threads():
    code = """
import hashlib
x = tf.random.stateless_normal((3, 40, 41, 96), (1, 2)) + 100
digest = hashlib.sha256()
for layer, call in (
    (layers.GroupNormalization(activation="silu"), {}),
    (layers.BatchNormalization(), {"training": True}),
    (layers.DynamicNormalization(), {"training": True}),
):
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **call)
        loss = y**2
    for each in (y, tape.gradient(loss, x)):
        digest.update(each.numpy().tobytes())
print(digest.hexdigest())
"""
    digests = [process(code, THREADS=str(n)) for n in (1, 2, 2, 5)]
    assert len(set(digests)) == 1


@built
@pytest.mark.parametrize("form", ["export", "save", "archive"])
def test_exports_load_where_the_package_is_absent(tmp_path, form):
    inputs = keras.Input((6, 7, 12))
    y = layers.GroupNormalization(groups=3)(inputs)
    model = keras.Model(inputs, layers.BatchNormalization()(y))
    want = model.predict(X, verbose=0)
    if form == "export":
        model.export(tmp_path / "model", verbose=False)
    elif form == "archive":
        archive = keras.export.ExportArchive()
        archive.track(model)
        signature = [tf.TensorSpec((None, 6, 7, 12))]
        archive.add_endpoint("serve", model.call, signature)
        archive.write_out(tmp_path / "model", verbose=False)
    else:
        tf.saved_model.save(model, str(tmp_path / "model"))
    written = (tmp_path / "model" / "saved_model.pb").read_bytes()
    assert b"KerasNorms>" not in written
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "want.npy", want)
    code = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load("model")
x = np.load("x.npy")
if hasattr(model, "serve"):
    got = model.serve(x)
else:
    [got] = model.signatures["serving_default"](tf.constant(x)).values()
np.testing.assert_allclose(got, np.load("want.npy"), atol=1e-5)
assert "keras_norms" not in sys.modules
print("good")
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "good" in result.stdout, result.stderr[-2000:]


@built
@pytest.mark.parametrize("native", [False, True])
def test_native_operations_are_exported_on_request(tmp_path, native):
    """Also of a function that was traced with them before."""
    module = tf.Module()
    module.layer = layers.GroupNormalization(groups=3)
    with ops.using_native("always"):
        module.run = tf.function(module.layer)
        module.run(tf.constant(X))
    with ops.using_native("always" if native else "auto"):
        tf.saved_model.save(module, str(tmp_path / "model"))
    written = (tmp_path / "model" / "saved_model.pb").read_bytes()
    assert (b"KerasNorms>GroupNorm" in written) == native
    reloaded = tf.saved_model.load(str(tmp_path / "model"))
    got = reloaded.run(tf.constant(X))
    np.testing.assert_allclose(got, module.layer(X), atol=1e-5)


def test_builds_tell_what_the_compiler_said(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_NORMS_CACHE", str(tmp_path / "new"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UnusableError) as refused:
        build(xla=False)
    assert str(refused.value) == (
        "The C++ compiler no-such-compiler is not found. Install g++ 11 or "
        "later (`apt install g++`), or set CXX to another compiler."
    )
    broken = tmp_path / "broken"
    broken.write_text(
        "#!/bin/sh\necho kernels.cc:1: error: all wrong >&2\nexit 3\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(UnusableError) as refused:
        build(xla=False, show=lambda _: None)
    assert "The compiler failed (3).\n$ " in str(refused.value)
    assert str(refused.value).endswith("kernels.cc:1: error: all wrong\n")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_two_builds_at_once_leave_one_good_library(tmp_path):
    folder = tmp_path / "cache"
    fast = tmp_path / "fast"
    fast.write_text('#!/bin/sh\nexec g++ "$@" -O0\n')
    fast.chmod(0o755)
    environment = {**os.environ, "KERAS_NORMS_CACHE": str(folder)}
    environment["CXX"] = str(fast)
    command = [sys.executable, "-m", "keras_norms", "build", "--no-xla"]
    command.append("--no-gpus")
    runs = [
        # Files that one's group may write would be refused.
        subprocess.Popen(command, cwd=ROOT, env=environment, umask=0o002)
        for _ in range(2)
    ]
    assert [run.wait(timeout=400) for run in runs] == [0, 0]
    assert [path.name for path in folder.iterdir()] == [cache.key()]
    code = "assert native(layer, x)\nprint('good')\n"
    assert "good" in process(code, KERAS_NORMS_CACHE=str(folder))


def test_a_mode_is_one_of_three(monkeypatch):
    message = (
        "{} must be one of ['auto', 'always', 'never']. Received: 'on'. "
        "'auto' uses the native library where it is available."
    )
    monkeypatch.setenv("KERAS_NORMS_NATIVE", "on")
    layer = layers.InstanceNormalization()
    assert message.format("KERAS_NORMS_NATIVE") in refusal(layer, X)
    monkeypatch.delenv("KERAS_NORMS_NATIVE")
    block = message.format("The mode of `using_native`")
    assert refusal(ops.using_native("on").__enter__) == block


@built
def test_forward_mode_is_refused_and_composed():
    x = tf.constant(X)
    layer = layers.GroupNormalization(groups=4)

    def along():
        with tf.autodiff.ForwardAccumulator(x, x) as forward:
            y = layer(x)
        return forward.jvp(y)

    with ops.using_native("always"):
        with pytest.raises(NotImplementedError) as refused:
            along()
        # Within what Keras says of the layer.
        assert (
            "The gradient operations of the native library have no gradient. "
            "Received: KerasNorms>GroupNormGradient, which was differentiated "
            "alone, as `tf.autodiff.ForwardAccumulator` does it. Trace this "
            "code within `keras_norms.ops.using_native('never')`."
        ) in str(refused.value)
    with ops.using_native("never"):
        # A norm of a multiple of x is that of x, but for epsilon.
        np.testing.assert_allclose(along(), 0 * X, atol=2e-3)


def both_ways(function):
    """What a function gives by the library, and without it."""
    found = []
    for mode in ("always", "never"):
        with ops.using_native(mode):
            found.append(np.array(function(), "float64"))
    return found


@built
def test_results_wider_than_x_are_not_rounded_to_x():
    x, dy = tf.cast(X, "float16"), 1e5 * tf.cast(X, "float32")

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, _ = ops.normalize(
                x, lambda m: ops.affine(m, 1e5), dtype="float32"
            )
        return y, tf.cast(tape.gradient(y, x, dy * 1e-6), "float32")

    ours, composed = both_ways(gradient)
    np.testing.assert_allclose(ours[0], composed[0], rtol=1e-5, atol=1e-1)
    np.testing.assert_allclose(ours[1], composed[1], rtol=2e-3, atol=1e-1)


@keras.saving.register_keras_serializable(package="tests")
def fast_sine(x):
    return tf.sin(tf.constant(200.0) * x)


@built
def test_activations_unknown_to_the_library_are_given_float32():
    x = tf.cast(X, "float16")
    layer = layers.GroupNormalization(groups=4, activation=fast_sine)
    layer.build(x.shape)
    layer.dtype_policy = keras.DTypePolicy("mixed_float16")
    ours, composed = both_ways(lambda: layer(x))
    np.testing.assert_allclose(ours, composed, atol=5e-3)


@built
@pytest.mark.parametrize("jit", [False, True])
def test_every_byte_but_0_is_true_in_a_mask(jit):
    mask = np.frombuffer(bytes([255, 2, 0, 0]), bool).reshape(1, 4)
    x = np.array([1.0, 3.0, 100.0, 100.0], "float32").reshape(1, 4, 1)

    @tf.function(jit_compile=jit)
    def tables(x, mask):
        moments = ops.instance_moments(x, mask)
        return moments.count[:, None], moments.mean, moments.variance

    with ops.using_native("always"):
        have = tables(tf.constant(x), tf.constant(mask))
    np.testing.assert_array_equal(np.ravel(have), [2, 2, 1])


@built
def test_gradients_of_moments_keep_their_digits_with_a_large_mean():
    x = (1e4 + np.random.default_rng(2).normal(size=X.shape)).astype("float32")
    exact = x.astype("float64")
    want = 2 * (exact - exact.mean((1, 2), keepdims=True)) / 42
    with ops.using_native("always"), tf.GradientTape() as tape:
        x = tf.constant(x)
        tape.watch(x)
        variance = ops.instance_moments(x).variance
    np.testing.assert_allclose(tape.gradient(variance, x), want, atol=1e-6)


@built
def test_what_is_traced_plain_is_compiled_later():
    """In a process that has compiled nothing before."""
    code = (
        "inner = tf.function(layer)\n"
        "plain = inner(x)\n"
        "compiled = tf.function(inner, jit_compile=True)(x)\n"
        "np.testing.assert_allclose(plain, compiled, atol=1e-6)\n"
        "print('same')\n"
    )
    assert "same" in process(code)


DYNAMIC = {
    "group": lambda: layers.GroupNormalization(groups=4, activation="silu"),
    "instance": lambda: layers.InstanceNormalization(axis=1),
    "batch": lambda: layers.BatchNormalization(momentum=0.5),
    "switchable": lambda: layers.SwitchableNormalization(activation="gelu"),
}


@built
@pytest.mark.parametrize("masked", [False, True])
def test_batches_that_depend_on_values_are_compiled(masked):
    """XLA pads what `tf.boolean_mask` gives; padding must not count."""
    norms = [make() for make in DYNAMIC.values()]
    alone = [make() for make in DYNAMIC.values()]
    for layer in (*norms, *alone):
        layer.build(X.shape)
    mask = np.random.default_rng(1).random((5, 6)) < 0.7

    def run(which, x, mask, select):
        results = []
        for layer in which:
            running = hasattr(layer, "momentum")
            how = {"training": True} if running else {}
            # Channels first, the other reading of this mask is refused.
            if masked and layer.axis == -1:
                how["mask"] = select(mask)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(select(x), **how)
                loss = tf.reduce_sum(y**3)
            weights = [v.value for v in layer.trainable_variables]
            gradients = tape.gradient(loss, [x, *weights])
            results.append([loss, *gradients])
        return results

    @tf.function(jit_compile=True)
    def compiled(x, mask, selected):
        return run(norms, x, mask, lambda t: tf.boolean_mask(t, selected))

    arguments = tf.constant(X), tf.constant(mask)
    for selected in ([1, 0, 1, 1, 0], [0] * 5, [1] * 5):
        selected = tf.constant(np.array(selected, bool))
        with ops.using_native("always"):
            have = compiled(*arguments, selected)
        with ops.using_native("never"):
            want = run(
                alone,
                *arguments,
                lambda t, selected=selected: tf.boolean_mask(t, selected),
            )
        pairs = zip(tf.nest.flatten(have), tf.nest.flatten(want), strict=True)
        for a, b in pairs:
            scale = max(1.0, float(tf.reduce_max(tf.abs(b))))
            np.testing.assert_allclose(a / scale, b / scale, atol=2e-5)
        for one, other in zip(norms, alone, strict=True):
            for a, b in zip(one.weights, other.weights, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)


@built
def test_ghost_batches_of_a_batch_that_depends_on_values_are_refused():
    layer = layers.GhostBatchNormalization(ghost_batch_size=2)
    layer.build(X.shape)

    @tf.function(jit_compile=True)
    def some(x, selected):
        return layer(tf.boolean_mask(x, selected), training=True)

    arguments = tf.constant(X), tf.constant([True, False, True, True, False])
    refusing = pytest.raises(tf.errors.InvalidArgumentError)
    with ops.using_native("always"), refusing as refused:
        some(*arguments)
    assert (
        "Under XLA, the batch size is the only size of an input of the native "
        "library that may depend on values, and only without ghost batches. "
        "Received: size 0 of the input depends on values. Trace the function "
        "within keras_norms.ops.using_native('never')."
    ) in str(refused.value)


@built
@pytest.mark.parametrize("name", ["GroupNormalization", "BatchNormalization"])
def test_vectorized_maps_have_gradients(name):
    layer = getattr(layers, name)()
    layer.build((None, 6, 7, 12 if name[0] == "B" else 32))
    x = tf.tile(tf.constant(X), [1, 1, 1, 3])[..., : layer.gamma.shape[0]]

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.vectorized_map(lambda e: layer(e[None])[0], x)
        return tape.gradient(y, x, tf.sin(x))

    ours, composed = both_ways(gradient)
    np.testing.assert_allclose(ours, composed, atol=1e-4)


@built
def test_arguments_the_library_cannot_take_run_composed():
    x = tf.constant(X)

    @dataclasses.dataclass
    class Unhashable:
        slope: float = 2.0

        def __call__(self, z):
            return self.slope * z

    for options in (
        {"activation": Unhashable()},
        {"gamma": np.array([2.0], "float32")},
        {"epsilon": tf.constant(0.5)},
    ):
        ours, composed = both_ways(
            lambda options=options: ops.group_normalization(
                x, groups=4, **options
            )
        )
        np.testing.assert_allclose(ours, composed, atol=1e-5)


def test_blocks_of_threads_end_their_own():
    first, second = ops.using_native("never"), ops.using_native("always")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert dispatch.mode() == "always"
    second.__exit__(None, None, None)
    assert dispatch.mode() == mode_of_environment()


def mode_of_environment():
    return os.environ.get("KERAS_NORMS_NATIVE", "auto")


@built
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"axis": 4},
            "x must have rank 2 or more, and axis must be at least 1 and less "
            "than the rank of x. Received: axis=4 for x of shape [5,6,7,12].",
        ),
        (
            {"center": np.zeros((2, 12))},
            "center must have shape [5,12]. Received: shape [2,12].",
        ),
        (
            {"mask": np.ones((3,), bool)},
            "mask must be empty or have 210 elements, one for each position "
            "of x. Received: shape [3].",
        ),
    ],
)
def test_operations_refuse_what_does_not_fit(change, message):
    """Called by hand: layers check before."""
    table = np.ones((5, 12), "float32")
    arguments = {
        "x": X,
        "mask": np.ones((0,), bool),
        "center": table,
        "scale": table,
        "shift": table,
        "axis": 3,
        "examples": 1,
        "activation": "identity",
        **change,
    }
    arguments["center"] = np.float32(arguments["center"])
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        loader.load().keras_norms_apply(**arguments)
    assert message in str(refused.value)


@built
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"center": 6},
            "center must have shape [5,12]. Received: shape [6,12].",
        ),
        (
            {"mask": 3},
            "mask must be empty or have 210 elements, one for each position "
            "of x. Received: shape [3].",
        ),
    ],
)
def test_compiled_operations_refuse_what_does_not_fit(change, message):
    """Also shapes that are not known before XLA compiles."""
    loader.load(cache.XLA_LIBRARY)
    rows = {"center": 5, "mask": 0, **change}
    table = tf.ones((5, 12))

    types = ("float32", "bool", "float32")
    unknown = [tf.TensorSpec(None, dtype) for dtype in types]

    @tf.function(jit_compile=True, input_signature=unknown)
    def apply(x, mask, center):
        return loader.load().keras_norms_apply(
            *(x, mask, center, table, table),
            axis=3,
            examples=1,
            activation="identity",
        )

    mask = tf.ones((rows["mask"],), "bool")
    center = tf.ones((rows["center"], 12))
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        apply(X, mask, center)
    assert message in str(refused.value)
    with pytest.raises(ValueError, match=re.escape(message)):
        tf.function(apply.python_function)(X, mask, center)


@built
@pytest.mark.parametrize("epsilon", [0.25, np.float32(0.25)])
def test_epsilon_is_any_kind_of_number(epsilon):
    """It goes to the library as text."""
    x = np.array([[2.0, 2.0]], "float32")
    with ops.using_native("always"):
        y = ops.group_normalization(
            x, groups=1, epsilon=epsilon, beta=np.array([0.0, 1.0])
        )
    np.testing.assert_array_equal(y, [[0.0, 1.0]])


@built
def test_the_smallest_halves_count_in_sums():
    """TensorFlow's threads read subnormal floats as 0."""
    tiny = 2.0**-20
    dy = np.full((1, 2, 3), tiny, "float16")
    layer = layers.GroupNormalization(groups=1, dtype="mixed_float16")
    layer.build((None, 2, 3))
    x = tf.constant(np.arange(6.0).reshape(1, 2, 3), "float16")
    with ops.using_native("always"), tf.GradientTape() as tape:
        y = layer(x)
    beta = tape.gradient(y, layer.beta.value, tf.constant(dy))
    np.testing.assert_array_equal(beta, np.full(3, 2 * tiny, "float32"))
