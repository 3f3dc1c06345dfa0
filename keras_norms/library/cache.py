"""Where built libraries are kept, and whether one there can be trusted."""

import functools
import hashlib
import os
import pathlib
import platform
import stat

from keras_norms.library import elf
from keras_norms.library import manifest
from keras_norms.library.errors import REBUILD
from keras_norms.library.errors import UnusableError
from keras_norms.library.errors import explained

LIBRARY = "libkeras_norms.so"
XLA_LIBRARY = "libkeras_norms_xla.so"

OWN_FOLDER = "have KERAS_NORMS_CACHE name a folder of your own."
_reading = explained(
    "The native library cannot be read",
    f"Let this user read it, or {OWN_FOLDER}",
)


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


@explained(
    "The native library is for TensorFlow, which cannot be imported",
    "Install it with `pip install keras-norms[cpu]`, or with `pip install "
    "keras-norms[gpu]` for NVIDIA GPUs on Linux.",
)
def tensorflow():
    """The module."""
    import tensorflow as tf

    return tf


@functools.cache
@explained(
    "What the native library must be built from and for cannot be told",
    "Install keras_norms and TensorFlow again.",
)
def key():
    """What a library must have been built from and for."""
    tf = tensorflow()
    digest = hashlib.sha256()
    folder = sources()
    for part in ("contract", "cpu", "cuda", "tensorflow", "xla"):
        for path in sorted((folder / part).glob("*.*")):
            digest.update(f"{part}/{path.name}".encode())
            digest.update(path.read_bytes())
    digest.update(" ".join(tf.sysconfig.get_compile_flags()[1:]).encode())
    parts = ("tf", tf.__version__, platform.machine(), digest.hexdigest()[:16])
    return "-".join(parts)


def folder():
    """The folder for this key, whether it exists or not."""
    return _base() / key()


@explained(
    "There is no place for the native library",
    f"Set HOME, or {OWN_FOLDER}",
)
def _base():
    given = os.environ.get("KERAS_NORMS_CACHE")
    if given:
        return pathlib.Path(given)
    import platformdirs

    base = platformdirs.user_cache_path("keras_norms", appauthor=False)
    if not base.is_absolute():
        raise RuntimeError(f"the home directory of {base} is not known")
    return base


@_reading
def found(name=LIBRARY):
    """The path of a library that can be loaded.

    Raises: `UnusableError` if there is none, it is not whole, or others may
        have written it.
    """
    place = folder()
    path = place / name
    try:
        path.stat()
    except FileNotFoundError:
        raise UnusableError(
            "It has not been built for this TensorFlow. Build it with "
            "`python -m keras_norms build`."
        ) from None
    for each in (place.parent, place, place / manifest.NAME, path):
        _trust(each)
    for each in (place / manifest.NAME, path):
        # Reading a pipe would wait for a writer.
        if not each.is_file():
            raise UnusableError(f"{each} is not a file. {REBUILD}")
    content = path.read_bytes()
    recorded = manifest.read(place).files.get(name)
    whole = elf.mapped_bytes(content) <= len(content)
    if recorded != manifest.digest(content) or not whole:
        raise UnusableError(f"{path} is not as it was built. {REBUILD}")
    return path


@functools.cache
@_reading
def gpus():
    """The architectures of GPUs that a library here has kernels for.

    Raises: `UnusableError` where there is no library that can be loaded.
    """
    return manifest.read(found().parent).gpus


def _trust(path):
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnusableError(f"{path} is missing. {REBUILD}") from None
    ours = status.st_uid in (os.getuid(), 0)
    if not ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnusableError(
            f"Other users can write {path}, and it would be run. Let only "
            f"yours: `chmod go-w`, or {OWN_FOLDER}"
        )
