"""These helpers damage an installation of the library and run its commands."""

import contextlib
import json
import os
import re
import sys

from keras_norms import __main__
from keras_norms.native import cache
from keras_norms.native import dispatch
from keras_norms.native import loader
from keras_norms.native import manifest

REBUILD = " Build it again with `python -m keras_norms build --force`."
OWN_FOLDER = "set KERAS_NORMS_CACHE to a folder of your own."
READ = f" Let this user read it, or {OWN_FOLDER}"
WRITE = (
    " Let this user write there, free disk space if the disk is full, or "
    f"{OWN_FOLDER}"
)
NO_PLACE = "The cache folder of the native library cannot be determined: "
KEY = "The cache key of the native library cannot be computed: "
CANNOT_BUILD = "The native library cannot be built in "
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


def matches(words, text):
    """Whether they are the same, "..." being any text."""
    pattern = ".*".join(map(re.escape, words.split("...")))
    return re.fullmatch(pattern, text, re.DOTALL) is not None


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
