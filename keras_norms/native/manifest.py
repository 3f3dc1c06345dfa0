"""The manifest of a build, which describes the libraries in its folder."""

import dataclasses
import hashlib
import json
import re
import reprlib

from keras_norms.native.errors import REBUILD
from keras_norms.native.errors import raising_unusable

NAME = "manifest.json"
_ARCHITECTURE = re.compile(r"(sm|compute)_[0-9]+")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of a manifest, with their types checked.

    Attributes:
        files: SHA-256 by file name.
        gpus: the GPU architectures that the libraries have kernels for.
    """

    files: dict[str, str]
    gpus: tuple[str, ...]


def read(folder):
    """Reads the manifest of a folder.

    Raises: `UnusableError` if it is damaged, and `OSError` if it cannot be
        read.
    """
    path = folder / NAME
    content = path.read_bytes()
    with raising_unusable(f"{path} is damaged", REBUILD):
        entries = json.loads(content.decode())
        _check_type("The manifest", entries, dict, "an object")
        files = entries.get("files", {})
        _check_type("`files`", files, dict, "an object")
        for value in files.values():
            _check_type("A value of `files`", value, str, "a string")
        gpus = entries.get("gpus", [])
        _check_type("`gpus`", gpus, list, "a list")
        for name in gpus:
            _check_type("An element of `gpus`", name, str, "a string")
            if not _ARCHITECTURE.fullmatch(name):
                raise ValueError(
                    "An element of `gpus` must be like 'sm_90' or "
                    f"'compute_90'. Received: {reprlib.repr(name)}"
                )
        return Manifest(files, tuple(gpus))


def _check_type(subject, value, expected, type_name):
    if not isinstance(value, expected):
        raise TypeError(
            f"{subject} must be {type_name}. Received: {reprlib.repr(value)}"
        )


def record(folder, **entries):
    """Writes the manifest of the libraries in a folder.

    Args:
        folder: the folder.
        entries: other entries of the manifest, by name.
    """
    files = {
        path.name: digest(path.read_bytes()) for path in folder.glob("*.so")
    }
    text = json.dumps({"files": files, **entries}, indent=1)
    (folder / NAME).write_text(text, "utf-8")
    for path in folder.iterdir():
        # With a umask that lets the group write, `cache.find_library` would
        # refuse the files.
        path.chmod(0o644)


def digest(content):
    return hashlib.sha256(content).hexdigest()
