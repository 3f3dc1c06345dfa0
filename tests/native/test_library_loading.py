"""A process loads the library once, or warns once and runs layers composed."""

import concurrent.futures
import time

import pytest
import tensorflow as tf

from keras_norms.native import cache
from keras_norms.native import gradients
from keras_norms.native import loader
from keras_norms.native import manifest
from keras_norms.native.errors import UnusableError
from tests.support.native_library import NO_MORE
from tests.support.native_library import NOT_BUILT
from tests.support.native_library import SLOWER
from tests.support.native_library import built
from tests.support.native_library import process

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


def test_failures_keep_no_frames(place):
    """A tensor of each call would stay as long as the process."""
    place.library.unlink()
    for _ in range(3):
        with pytest.raises(UnusableError) as refused:
            loader.load()
    frames = refused.value.__traceback__
    names = []
    while frames:
        names.append(frames.tb_frame.f_code.co_name)
        frames = frames.tb_next
    assert names == ["test_failures_keep_no_frames", "load", "run_once"]


def test_first_calls_of_threads_load_once(place, monkeypatch):
    place.monkeypatch.setattr(
        cache, "find_library", lambda name: time.sleep(0.05)
    )
    calls = []
    monkeypatch.setattr(tf, "load_op_library", calls.append)
    monkeypatch.setattr(gradients, "register", lambda operations: None)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: loader.load(), range(4)))
    assert calls == ["None"]
