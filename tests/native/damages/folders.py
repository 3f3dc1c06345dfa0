"""These damages leave a folder of the library that cannot be read."""

import shutil

from tests.native.damages.registry import Damages
from tests.support.installations import READ
from tests.support.native_library import NOT_BUILT

DAMAGES = Damages()
damage = DAMAGES.register


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
