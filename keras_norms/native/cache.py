"""Where built libraries are stored, and whether one can be trusted."""

import functools
import hashlib
import os
import pathlib
import platform
import stat

from keras_norms.native import elf
from keras_norms.native import manifest
from keras_norms.native.errors import REBUILD
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import raising_unusable

LIBRARY = "libkeras_norms.so"
XLA_LIBRARY = "libkeras_norms_xla.so"

OWN_FOLDER = "set KERAS_NORMS_CACHE to a folder of your own."
_unusable_if_unreadable = raising_unusable(
    "The native library cannot be read",
    f"Let this user read it, or {OWN_FOLDER}",
)


def sources():
    """The folder of tf_ops, which is next to the package or inside it."""
    package = pathlib.Path(__file__).parents[1]
    for folder in (package / "tf_ops", package.parent / "tf_ops"):
        if (folder / "cpu" / "kernels.h").exists():
            return folder
    raise UnusableError(
        "The package must contain the sources of the native library. The "
        f"folder {package.name}/tf_ops is missing. Install keras_norms again."
    )


@raising_unusable(
    "The native library needs TensorFlow, which cannot be imported",
    "Install it with `pip install keras-norms[cpu]`, or with `pip install "
    "keras-norms[gpu]` for NVIDIA GPUs on Linux.",
)
def tensorflow():
    """The module `tensorflow`."""
    import tensorflow as tf

    return tf


@functools.cache
@raising_unusable(
    "The cache key of the native library cannot be computed",
    "Install keras_norms and TensorFlow again.",
)
def key():
    """The cache key: TensorFlow's version, and a hash of the sources."""
    tf = tensorflow()
    digest = hashlib.sha256()
    folder = sources()
    for part in ("contract", "cpu", "cuda", "tensorflow", "xla"):
        for path in sorted((folder / part).glob("*.*")):
            digest.update(f"{part}/{path.name}".encode())
            digest.update(path.read_bytes())
    digest.update(" ".join(tf.sysconfig.get_compile_flags()[1:]).encode())
    machine, sources_hash = platform.machine(), digest.hexdigest()[:16]
    return f"tf-{tf.__version__}-{machine}-{sources_hash}"


def folder():
    """The folder of the libraries with this key. It may not exist."""
    return _base() / key()


@raising_unusable(
    "The cache folder of the native library cannot be determined",
    f"Set HOME, or {OWN_FOLDER}",
)
def _base():
    configured = os.environ.get("KERAS_NORMS_CACHE")
    if configured:
        return pathlib.Path(configured)
    import platformdirs

    base = platformdirs.user_cache_path("keras_norms", appauthor=False)
    if not base.is_absolute():
        raise RuntimeError(f"the home directory in {base} is unknown")
    return base


@_unusable_if_unreadable
def find_library(name=LIBRARY):
    """Returns the path of a library that can be loaded.

    Raises: `UnusableError` if there is none, if it is incomplete, or if other
        users may have written it.
    """
    build_folder = folder()
    path = build_folder / name
    try:
        path.stat()
    except FileNotFoundError:
        raise UnusableError(
            "The native library has not been built for this version of "
            "TensorFlow. Build it with `python -m keras_norms build`."
        ) from None
    manifest_path = build_folder / manifest.NAME
    for each in (build_folder.parent, build_folder, manifest_path, path):
        _check_owner(each)
    for each in (manifest_path, path):
        # Reading a pipe would wait for a writer.
        if not each.is_file():
            raise UnusableError(f"{each} is not a file. {REBUILD}")
    content = path.read_bytes()
    recorded = manifest.read(build_folder).files.get(name)
    is_complete = elf.mapped_bytes(content) <= len(content)
    if recorded != manifest.digest(content) or not is_complete:
        raise UnusableError(
            f"{path} has changed since it was built. {REBUILD}"
        )
    return path


@functools.cache
@_unusable_if_unreadable
def gpus():
    """The GPU architectures that the installed library has kernels for.

    Raises: `UnusableError` if there is no library that can be loaded.
    """
    return manifest.read(find_library().parent).gpus


def _check_owner(path):
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnusableError(f"{path} is missing. {REBUILD}") from None
    ours = status.st_uid in (os.getuid(), 0)
    if not ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnusableError(
            "The native library must be writable only by its owner. Other "
            f"users can write {path}. Run `chmod go-w` on it, or {OWN_FOLDER}"
        )
