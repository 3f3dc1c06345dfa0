"""The manifest of a build: what the libraries in a folder are."""

import dataclasses
import hashlib
import json
import re
import reprlib

from keras_norms.native.errors import REBUILD
from keras_norms.native.errors import explained

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


def read(place):
    """The manifest of the folder `place`.

    Raises: `UnusableError` if its contents are not a manifest's; `OSError` if
        it cannot be read.
    """
    path = place / NAME
    content = path.read_bytes()
    with explained(f"{path} is damaged", REBUILD):
        known = _checked(
            "The manifest", json.loads(content.decode()), dict, "an object"
        )
        files = _checked("`files`", known.get("files", {}), dict, "an object")
        for value in files.values():
            _checked("A value of `files`", value, str, "a string")
        gpus = _checked("`gpus`", known.get("gpus", []), list, "a list")
        for name in gpus:
            _checked("An element of `gpus`", name, str, "a string")
            if not _ARCHITECTURE.fullmatch(name):
                raise ValueError(
                    "An element of `gpus` must be like 'sm_90' or "
                    f"'compute_90'. Received: {reprlib.repr(name)}"
                )
        return Manifest(files, tuple(gpus))


def _checked(what, value, kind, called):
    if not isinstance(value, kind):
        raise TypeError(
            f"{what} must be {called}. Received: {reprlib.repr(value)}"
        )
    return value


def record(place, **known):
    """Writes the manifest of the libraries that are in a folder."""
    files = {
        path.name: digest(path.read_bytes()) for path in place.glob("*.so")
    }
    text = json.dumps({"files": files, **known}, indent=1)
    (place / NAME).write_text(text, "utf-8")
    for path in place.iterdir():
        path.chmod(0o644)  # Whatever the user's mask: see `cache.found`.


def digest(content):
    return hashlib.sha256(content).hexdigest()
