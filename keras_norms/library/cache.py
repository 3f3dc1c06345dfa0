"""Where built libraries are kept, and whether one there can be trusted."""

import functools
import hashlib
import json
import os
import pathlib
import platform
import stat

LIBRARY = "libkeras_norms.so"
XLA_LIBRARY = "libkeras_norms_xla.so"
MANIFEST = "manifest.json"


class UnusableError(Exception):
    """Why there is no library to load, and what to do about it."""


def sources():
    """The folder of tf_ops: beside the package, or within it."""
    package = pathlib.Path(__file__).parents[1]
    for folder in (package / "tf_ops", package.parent / "tf_ops"):
        if (folder / "cpu" / "kernels.h").exists():
            return folder
    raise UnusableError(
        "The sources of the native library are missing. Looked in: "
        f"{package.name}/tf_ops. Install keras_norms again."
    )


@functools.cache
def key():
    """What a library must have been built from and for."""
    import tensorflow as tf

    digest = hashlib.sha256()
    folder = sources()
    for part in ("cpu", "cuda", "tensorflow", "xla"):
        for path in sorted((folder / part).glob("*.*")):
            digest.update(f"{part}/{path.name}".encode())
            digest.update(path.read_bytes())
    digest.update(" ".join(tf.sysconfig.get_compile_flags()[1:]).encode())
    parts = ("tf", tf.__version__, platform.machine(), digest.hexdigest()[:16])
    return "-".join(parts)


def folder():
    """Of this key, whether it is there or not."""
    given = os.environ.get("KERAS_NORMS_CACHE")
    if given:
        return pathlib.Path(given) / key()
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "keras_norms" / key()


def found(name=LIBRARY):
    """The path of a library that can be loaded.

    Raises: UnusableError if there is none, it is not whole, or others may have
        written it.
    """
    place = folder()
    path = place / name
    if not path.exists():
        raise UnusableError(
            "It has not been built for this TensorFlow. Build it with "
            "`python -m keras_norms build`."
        )
    for each in (place.parent, place, place / MANIFEST, path):
        _trust(each)
    recorded = manifest(place)["files"].get(name)
    if recorded != _hash(path):
        raise UnusableError(
            f"{path} is not as it was built. Build it again with "
            "`python -m keras_norms build --force`."
        )
    return path


@functools.cache
def gpus():
    """The architectures of GPUs that a library here has kernels for."""
    return manifest(folder())["gpus"]


def _trust(path):
    status = path.stat()
    ours = status.st_uid in (os.getuid(), 0)
    if not ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnusableError(
            f"Other users can write {path}, and it would be run. Let only "
            "yours: `chmod go-w`, or have KERAS_NORMS_CACHE name a folder of "
            "your own."
        )


def manifest(place):
    """What is known of a build; nothing where that cannot be read."""
    try:
        known = json.loads((place / MANIFEST).read_text())
    except (OSError, ValueError):
        known = {}
    return {"files": {}, "gpus": [], **known}


def record(place, **known):
    """Writes the manifest of the libraries that are in a folder."""
    files = {path.name: _hash(path) for path in place.glob("*.so")}
    text = json.dumps({"files": files, **known}, indent=1)
    (place / MANIFEST).write_text(text)
    for path in place.iterdir():
        path.chmod(0o644)  # Whatever the user's mask: see `_trust`.


def _hash(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
