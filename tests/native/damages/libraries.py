"""These damages leave a library that is missing, unreadable or changed."""

import os
import pathlib

import numpy as np

from tests.native.damages.registry import Damages
from tests.support.installations import OWN_FOLDER
from tests.support.installations import READ
from tests.support.installations import REBUILD
from tests.support.native_library import NOT_BUILT

DAMAGES = Damages()
damage = DAMAGES.register


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
