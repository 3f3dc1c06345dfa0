"""A build leaves a good library, or ends with a message and leaves nothing."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

from keras_norms.native import cache
from keras_norms.native import compiler
from keras_norms.native import manifest
from keras_norms.native.build import build
from keras_norms.native.errors import UnusableError
from tests.support.installations import CANNOT_BUILD
from tests.support.installations import WRITE
from tests.support.installations import as_nobody
from tests.support.installations import command
from tests.support.installations import matches
from tests.support.native_library import process
from tests.support.processes import ROOT


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
