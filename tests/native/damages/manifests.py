"""These damages leave a manifest that is missing, unreadable or wrong."""

import json

from keras_norms.native import cache
from tests.native.damages.registry import Damages
from tests.support.installations import READ
from tests.support.installations import REBUILD

DAMAGES = Damages()
damage = DAMAGES.register
MANIFEST = "{manifest} is damaged: "


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
