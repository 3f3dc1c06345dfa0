"""Damaged, foreign and unreachable installations of the native library.

Whatever is wrong with the library, layers run composed after one warning, and
the commands end with a message instead of a traceback.
"""

import concurrent.futures
import contextlib
import errno
import json
import os
import pathlib
import pwd
import re
import shutil
import sys
import tempfile
import time
import warnings

import numpy as np
import platformdirs
import pytest
import tensorflow as tf

from keras_norms import __main__
from keras_norms import layers
from keras_norms import ops
from keras_norms.native import cache
from keras_norms.native import compiler
from keras_norms.native import dispatch
from keras_norms.native import gradients
from keras_norms.native import loader
from keras_norms.native import manifest
from keras_norms.native.errors import UnusableError
from tests.support import processes

X = np.random.default_rng(0).normal(3, 2, (2, 5, 4)).astype("float32")
REBUILD = " Build it again with `python -m keras_norms build --force`."
OWN_FOLDER = "set KERAS_NORMS_CACHE to a folder of your own."
READ = f" Let this user read it, or {OWN_FOLDER}"
NOT_BUILT = (
    "The native library has not been built for this version of TensorFlow. "
    "Build it with `python -m keras_norms build`."
)
NOBODY = 54321


class Place:
    """An installation for tests to damage."""

    def __init__(self, cache_folder, monkeypatch):
        self.cache = cache_folder
        self.folder = cache_folder / cache.key()
        self.library = self.folder / cache.LIBRARY
        self.manifest = self.folder / manifest.NAME
        self.monkeypatch = monkeypatch
        self.folder.mkdir(mode=0o755)
        self.holds(b"no library")

    def holds(self, content):
        """Libraries with this content, and a manifest that says so."""
        for name in (cache.LIBRARY, cache.XLA_LIBRARY):
            (self.folder / name).write_bytes(content)
        manifest.record(self.folder, gpus=["sm_70"])

    def says(self, **changes):
        """Changes of what the manifest says."""
        known = json.loads(self.manifest.read_text())
        self.manifest.write_text(json.dumps({**known, **changes}))


def forget():
    loader.clear_failures()
    cache.key.cache_clear()
    dispatch._warn.cache_clear()


@pytest.fixture(scope="module")
def imported():
    """What a first call imports, which nobody may be unable to read."""
    with ops.using_native("never"):
        layers.InstanceNormalization()(X)


@pytest.fixture
def place(monkeypatch, imported):
    # pytest's own folders cannot be searched by other users.
    with tempfile.TemporaryDirectory() as base:
        folder = pathlib.Path(base) / "cache"
        os.chmod(base, 0o755)
        folder.mkdir(mode=0o755)
        monkeypatch.setenv("KERAS_NORMS_CACHE", str(folder))
        monkeypatch.setenv("KERAS_NORMS_NATIVE", "auto")
        loaded = sys.modules["_keras_norms_loaded"]
        monkeypatch.setitem(vars(loaded), "libraries", {})
        forget()
        yield Place(folder, monkeypatch)
        monkeypatch.undo()
        forget()


@contextlib.contextmanager
def as_nobody():
    """As a user who owns nothing, where this is root's process."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


DAMAGES = {}
MANIFEST = "{manifest} is damaged: "


def damage(words, name=None):
    """Registers a function that damages a place, and what is said of it."""

    def add(function):
        DAMAGES[name or function.__name__] = function, words
        return function

    return add


def damaged_manifest(name, content, words):
    def act(place):
        if isinstance(content, dict):
            place.says(**content)
        else:
            place.manifest.write_bytes(content)

    damage(f"{MANIFEST}{words}{REBUILD}", f"manifest_{name}")(act)


for _name, _text, _called in (
    ("list", b"[]", "[]"),
    ("null", b"null", "None"),
    ("number", b"1", "1"),
    ("string", b'"a"', "'a'"),
):
    damaged_manifest(
        _name,
        _text,
        f"The manifest must be an object. Received: {_called} (TypeError).",
    )
for _name, _text, _error in (
    ("empty", b"", "JSONDecodeError"),
    ("cut_off", b'{"files": {', "JSONDecodeError"),
    ("binary", bytes(range(256)), "UnicodeDecodeError"),
    ("invalid_utf8", b'{"files": "\xff"}', "UnicodeDecodeError"),
    ("deeply_nested", b"[" * 200_000, "RecursionError"),
):
    damaged_manifest(_name, _text, f"... ({_error}).")
for _key, _value, _words in (
    ("files", None, "`files` must be an object. Received: None"),
    ("files", [], "`files` must be an object. Received: []"),
    (
        "files",
        {cache.LIBRARY: 1},
        "A value of `files` must be a string. Received: 1",
    ),
    (
        "files",
        {cache.LIBRARY: None},
        "A value of `files` must be a string. Received: None",
    ),
    ("gpus", None, "`gpus` must be a list. Received: None"),
    ("gpus", "sm_70", "`gpus` must be a list. Received: 'sm_70'"),
    ("gpus", {"sm_70": 1}, "`gpus` must be a list. Received: {{'sm_70': 1}}"),
    (
        "gpus",
        [1, None],
        "An element of `gpus` must be a string. Received: 1",
    ),
    (
        "gpus",
        ["sm_70", None],
        "An element of `gpus` must be a string. Received: None",
    ),
):
    damaged_manifest(
        f"{_key}_{json.dumps(_value)}",
        {_key: _value},
        f"{_words} (TypeError).",
    )
for _value in ("bogus", "sm_", "sm_x"):
    damaged_manifest(
        f"gpus_{_value}",
        {"gpus": [_value]},
        "An element of `gpus` must be like 'sm_90' or 'compute_90'. "
        f"Received: '{_value}' (ValueError).",
    )


@damage(f"{{library}} has changed since it was built.{REBUILD}")
def manifest_without_files(place):
    place.manifest.write_text("{}")


@damage(f"{{manifest}} is missing.{REBUILD}")
def manifest_missing(place):
    place.manifest.unlink()


@damage(f"{{manifest}} is not a file.{REBUILD}")
def manifest_is_a_folder(place):
    place.manifest.unlink()
    place.manifest.mkdir(mode=0o755)


@damage(
    "The native library cannot be read: Too many levels of symbolic links: "
    f"{{manifest}}.{READ}"
)
def manifest_is_a_loop(place):
    place.manifest.unlink()
    place.manifest.symlink_to(place.manifest.name)


@damage(
    "The native library cannot be read: Permission denied: "
    f"{{manifest}}.{READ}"
)
def manifest_is_unreadable(place):
    place.manifest.chmod(0)


@damage(NOT_BUILT)
def library_missing(place):
    place.library.unlink()


@damage(NOT_BUILT)
def library_is_a_dangling_link(place):
    place.library.unlink()
    place.library.symlink_to("nowhere")


@damage(
    "The native library cannot be read: Too many levels of symbolic links: "
    f"{{library}}.{READ}"
)
def library_is_a_loop(place):
    place.library.unlink()
    place.library.symlink_to(place.library.name)


@damage(f"{{library}} is not a file.{REBUILD}")
def library_is_a_folder(place):
    place.library.unlink()
    place.library.mkdir(mode=0o755)


@damage(f"{{library}} is not a file.{REBUILD}")
def library_is_a_pipe(place):
    place.library.unlink()
    os.mkfifo(place.library, 0o644)


@damage(
    f"The native library cannot be read: Permission denied: {{library}}.{READ}"
)
def library_is_unreadable(place):
    place.library.chmod(0)


@damage(f"{{library}} has changed since it was built.{REBUILD}")
def library_is_another(place):
    place.library.write_bytes(b"another")


@damage(f"The native library cannot be loaded: ... (NotFoundError).{REBUILD}")
def library_is_none(place):
    place.holds(b"no library")


@damage(f"The native library cannot be loaded: ... (NotFoundError).{REBUILD}")
def library_of_zero_bytes(place):
    place.holds(b"")


def shared_library():
    return pathlib.Path(np._core._multiarray_umath.__file__).read_bytes()


@damage(f"{{library}} has changed since it was built.{REBUILD}")
def library_cut_off(place):
    """Its hash is the one recorded; the loader would kill the process."""
    library = shared_library()
    place.holds(library[: len(library) // 2])


@damage(f"{{library}} has changed since it was built.{REBUILD}")
def library_cut_off_in_its_headers(place):
    place.holds(shared_library()[:100])


@damage(
    "The native library must be writable only by its owner. Other users can "
    f"write {{library}}. Run `chmod go-w` on it, or {OWN_FOLDER}"
)
def library_that_others_can_write(place):
    place.library.chmod(0o666)


@damage(NOT_BUILT)
def folder_missing(place):
    shutil.rmtree(place.folder)


@damage(
    f"The native library cannot be read: Permission denied: {{library}}.{READ}"
)
def folder_cannot_be_searched(place):
    place.folder.chmod(0)


@damage(
    f"The native library cannot be read: Not a directory: {{library}}.{READ}"
)
def folder_is_a_file(place):
    shutil.rmtree(place.folder)
    place.folder.touch()


@damage(
    "The native library cannot be read: Too many levels of symbolic links: "
    f"{{library}}.{READ}"
)
def folder_is_a_loop(place):
    shutil.rmtree(place.folder)
    place.folder.symlink_to(place.folder.name)


@damage(
    f"The native library cannot be read: Not a directory: {{library}}.{READ}"
)
def cache_is_a_file(place):
    shutil.rmtree(place.cache)
    place.cache.touch()


@damage(
    f"The native library cannot be read: Permission denied: {{library}}.{READ}"
)
def cache_cannot_be_searched(place):
    place.cache.chmod(0)


@damage(f"The native library cannot be read: File name too long: ...{READ}")
def cache_with_a_name_too_long(place):
    place.monkeypatch.setenv("KERAS_NORMS_CACHE", "/tmp/" + "x" * 300)


@damage(f"The native library cannot be read: File name too long: ...{READ}")
def cache_with_a_path_too_long(place):
    place.monkeypatch.setenv("KERAS_NORMS_CACHE", "/tmp" + "/xxxx" * 2000)


NO_PLACE = "The cache folder of the native library cannot be determined: "
SET_HOME = f" Set HOME, or {OWN_FOLDER}"


def without_passwd_entry(place):
    def unknown(user):
        raise KeyError(f"getpwuid(): uid not found: {user}")

    place.monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("KERAS_NORMS_CACHE", "XDG_CACHE_HOME", "HOME"):
        place.monkeypatch.delenv(name, raising=False)


damage(f"{NO_PLACE}... (RuntimeError).{SET_HOME}", "no_home")(
    without_passwd_entry
)


@damage(
    f"{NO_PLACE}the home directory in ~/.cache/keras_norms is unknown "
    f"(RuntimeError).{SET_HOME}"
)
def no_home_as_older_platformdirs_answer(place):
    without_passwd_entry(place)
    answer = pathlib.Path("~/.cache/keras_norms")
    place.monkeypatch.setattr(
        platformdirs, "user_cache_path", lambda *_, **__: answer
    )


@damage(
    f"{NO_PLACE}import of platformdirs halted; None in sys.modules "
    f"(ModuleNotFoundError).{SET_HOME}"
)
def no_platformdirs(place):
    place.monkeypatch.delenv("KERAS_NORMS_CACHE")
    place.monkeypatch.setitem(sys.modules, "platformdirs", None)


@damage(
    f"The native library cannot be read: Permission denied: ...{READ}",
    "home_of_another_user",
)
def home_of_another_user(place):
    place.monkeypatch.delenv("KERAS_NORMS_CACHE")
    place.monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    place.monkeypatch.setenv("HOME", str(place.cache))
    place.cache.chmod(0o700)
    if os.geteuid():
        place.cache.chmod(0)


@damage(
    "The package must contain the sources of the native library. The folder "
    "keras_norms/tf_ops is missing. Install keras_norms again."
)
def sources_missing(place):
    here = place.cache / "keras_norms" / "native" / "cache.py"
    place.monkeypatch.setattr(cache, "__file__", str(here))
    cache.key.cache_clear()


KEY = "The cache key of the native library cannot be computed: "
AGAIN = " Install keras_norms and TensorFlow again."


@damage(f"{KEY}no flags (AttributeError).{AGAIN}")
def tensorflow_without_flags(place):
    def refuse():
        raise AttributeError("no flags")

    place.monkeypatch.setattr(tf.sysconfig, "get_compile_flags", refuse)
    cache.key.cache_clear()


@damage(f"The native library cannot be loaded: 'x' (KeyError).{REBUILD}")
def tensorflow_that_fails_to_load(place):
    def refuse(path):
        raise KeyError("x")

    place.monkeypatch.setattr(tf, "load_op_library", refuse)


def matches(words, text):
    """Whether they are the same, "..." being any text."""
    pattern = ".*".join(map(re.escape, words.split("...")))
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def check_layer(words):
    """Layers run with one warning; the mode "always" raises an error."""
    layer = layers.InstanceNormalization(epsilon=1e-3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            y = layer(X)
    x = X.astype("float64")
    want = x - x.mean(1, keepdims=True)
    want /= np.sqrt(x.var(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, want, atol=1e-5)
    [warning] = caught
    assert matches(
        "keras_norms is running without its native library and will be "
        f"slower. {words} Set KERAS_NORMS_NATIVE=never to silence this "
        "warning.",
        str(warning.message),
    )
    os.environ["KERAS_NORMS_NATIVE"] = "always"
    with pytest.raises(RuntimeError) as refused:
        dispatch.activate(X.shape, X.dtype)
    os.environ["KERAS_NORMS_NATIVE"] = "auto"
    assert matches(
        "The mode KERAS_NORMS_NATIVE=always needs the native library, which "
        "is not active. " + words,
        str(refused.value),
    )


def command(monkeypatch, capsys, *arguments):
    """What a command printed, and its exit code: None, or a message."""
    monkeypatch.setattr(sys, "argv", ["keras_norms", *arguments])
    capsys.readouterr()
    code = None
    try:
        __main__.main()
    except SystemExit as end:
        code = end.code
    return capsys.readouterr().out, code


def touch(command):
    """Creates the requested output file, empty, without compiling."""
    pathlib.Path(command[command.index("-o") + 1]).touch()


@pytest.fixture
def empty_builds(monkeypatch):
    monkeypatch.setattr(compiler, "find_compiler", lambda: "c++")
    monkeypatch.setattr(compiler, "version", lambda _: "none")
    monkeypatch.setattr(compiler, "run", touch)


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged(name, place, monkeypatch, capsys):
    act, words = DAMAGES[name]
    words = words.format(library=place.library, manifest=place.manifest)
    act(place)
    with as_nobody():
        check_layer(words)
        printed, code = command(monkeypatch, capsys, "info")
    assert code is None
    [line] = re.findall(
        "^native library, eager and graph mode: (.*)", printed, re.MULTILINE
    )
    assert matches(f"unusable. {words}", line)
    assert "native library, under XLA: unusable. " in printed


# What `build` ends with after a damage that it cannot mend: of all others,
# that the library of `empty_builds` cannot be loaded.
CANNOT_BUILD = "The native library cannot be built in "
UNMENDED = {
    "cache_is_a_file": CANNOT_BUILD,
    "cache_with_a_name_too_long": CANNOT_BUILD,
    "cache_with_a_path_too_long": CANNOT_BUILD,
    "no_home": NO_PLACE,
    "no_home_as_older_platformdirs_answer": NO_PLACE,
    "no_platformdirs": NO_PLACE,
    "sources_missing": "The package must contain the sources of the native ",
    "tensorflow_without_flags": KEY,
}


@pytest.mark.usefixtures("empty_builds")
@pytest.mark.parametrize("name", DAMAGES)
def test_builds_mend_what_was_damaged(name, place, monkeypatch, capsys):
    act, _ = DAMAGES[name]
    act(place)
    arguments = ("--no-gpus", "--no-xla", "--force")
    _, code = command(monkeypatch, capsys, "build", *arguments)
    loading = "The native library cannot be loaded: "
    assert code.startswith(UNMENDED.get(name, loading))
    if name not in UNMENDED:
        built = cache.find_library()
        assert built.read_bytes() == b""
        # Nothing is left over of what was there.
        assert [p.name for p in built.parents[1].iterdir()][1:] == []


WRITE = (
    " Let this user write there, free disk space if the disk is full, or "
    f"{OWN_FOLDER}"
)


def test_builds_where_nothing_can_be_written(place, monkeypatch, capsys):
    shutil.rmtree(place.folder)
    place.cache.chmod(0o555)
    monkeypatch.setattr(compiler, "find_compiler", lambda: "c++")
    with as_nobody():
        _, code = command(monkeypatch, capsys, "build")
    assert matches(
        f"{CANNOT_BUILD}{place.folder}: Permission denied: {place.cache}/new-"
        f"....{WRITE}",
        code,
    )


@pytest.mark.usefixtures("empty_builds")
def test_builds_on_a_full_disk(place, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(manifest, "record", full)
    arguments = ("--no-gpus", "--no-xla", "--force")
    before = place.library.read_bytes()
    _, code = command(monkeypatch, capsys, "build", *arguments)
    assert code == (
        f"{CANNOT_BUILD}{place.folder}: No space left on device.{WRITE}"
    )
    assert place.library.read_bytes() == before
    assert [path.name for path in place.cache.iterdir()] == [cache.key()]


def test_builds_by_what_is_no_compiler(place, monkeypatch, capsys):
    broken = place.cache / "c++"
    broken.write_text("not a program")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    _, code = command(monkeypatch, capsys, "build", "--force")
    assert code == (
        f"{broken} cannot be run: Exec format error: {broken}. Install g++ 11 "
        "or later (`apt install g++`), or set CXX to another compiler."
    )


@pytest.mark.parametrize("name", ["info", "benchmark"])
def test_commands_with_an_unknown_mode(name, place, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_NORMS_NATIVE", "on")
    _, code = command(monkeypatch, capsys, name)
    assert "KERAS_NORMS_NATIVE must be one of ['auto', " in code


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


# TensorFlow is not found, and JAX, of which Keras's NumPy backend imports
# what it does not use here, is anything.
WITHOUT_TENSORFLOW = """
import importlib.machinery, sys, unittest.mock

class Finder:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if package == "jax":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return unittest.mock.MagicMock(__path__=[], __version__="0")

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
import numpy as np
import keras_norms
from keras_norms import __main__

y = keras_norms.layers.InstanceNormalization()(np.ones((2, 3, 4)))
np.testing.assert_array_equal(y, np.zeros((2, 3, 4)))
for command in ("info", "build", "benchmark"):
    sys.argv = ["keras_norms", command]
    try:
        __main__.main()
    except SystemExit as end:
        print(f"{command}: {end.code}")
"""


def test_without_tensorflow(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    lines = processes.run("-c", WITHOUT_TENSORFLOW).splitlines()
    none = (
        "The native library needs TensorFlow, which cannot be imported: No "
        "module named 'tensorflow' (ModuleNotFoundError). Install it with "
        "`pip install keras-norms[cpu]`, or with `pip install "
        "keras-norms[gpu]` for NVIDIA GPUs on Linux."
    )
    unused = "not used, because the backend of Keras is numpy"
    assert lines[2:] == [
        f"tensorflow unusable. {none}",
        "KERAS_NORMS_NATIVE=auto",
        f"native library, eager and graph mode: {unused}",
        f"native library, under XLA: {unused}",
        f"GPU kernels of the library: unusable. {none}",
        f"folder of the library: unusable. {none}",
        f"build: {none}",
        "benchmark: The benchmark needs the TensorFlow backend of Keras. "
        "Received: the backend numpy. Set KERAS_BACKEND=tensorflow.",
    ]
