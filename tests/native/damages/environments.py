"""These damages hide the home directory, the sources or TensorFlow's flags."""

import os
import pathlib
import pwd
import sys

import platformdirs
import tensorflow as tf

from keras_norms.native import cache
from tests.native.damages.registry import Damages
from tests.support.installations import KEY
from tests.support.installations import NO_PLACE
from tests.support.installations import OWN_FOLDER
from tests.support.installations import READ
from tests.support.installations import REBUILD

DAMAGES = Damages()
damage = DAMAGES.register
SET_HOME = f" Set HOME, or {OWN_FOLDER}"


def without_passwd_entry(place):
    def unknown(user):
        raise KeyError(f"getpwuid(): uid not found: {user}")

    place.monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("KERAS_NORMS_CACHE", "XDG_CACHE_HOME", "HOME"):
        place.monkeypatch.delenv(name, raising=False)


damage(f"{NO_PLACE}... (RuntimeError).{SET_HOME}", "no_home")(
    without_passwd_entry
)


@damage(
    f"{NO_PLACE}the home directory in ~/.cache/keras_norms is unknown "
    f"(RuntimeError).{SET_HOME}"
)
def no_home_as_older_platformdirs_answer(place):
    without_passwd_entry(place)
    answer = pathlib.Path("~/.cache/keras_norms")
    place.monkeypatch.setattr(
        platformdirs, "user_cache_path", lambda *_, **__: answer
    )


@damage(
    f"{NO_PLACE}import of platformdirs halted; None in sys.modules "
    f"(ModuleNotFoundError).{SET_HOME}"
)
def no_platformdirs(place):
    place.monkeypatch.delenv("KERAS_NORMS_CACHE")
    place.monkeypatch.setitem(sys.modules, "platformdirs", None)


@damage(
    f"The native library cannot be read: Permission denied: ...{READ}",
    "home_of_another_user",
)
def home_of_another_user(place):
    place.monkeypatch.delenv("KERAS_NORMS_CACHE")
    place.monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    place.monkeypatch.setenv("HOME", str(place.cache))
    place.cache.chmod(0o700)
    if os.geteuid():
        place.cache.chmod(0)


@damage(
    "The package must contain the sources of the native library. The folder "
    "keras_norms/tf_ops is missing. Install keras_norms again."
)
def sources_missing(place):
    here = place.cache / "keras_norms" / "native" / "cache.py"
    place.monkeypatch.setattr(cache, "__file__", str(here))
    cache.key.cache_clear()


AGAIN = " Install keras_norms and TensorFlow again."


@damage(f"{KEY}no flags (AttributeError).{AGAIN}")
def tensorflow_without_flags(place):
    def refuse():
        raise AttributeError("no flags")

    place.monkeypatch.setattr(tf.sysconfig, "get_compile_flags", refuse)
    cache.key.cache_clear()


@damage(f"The native library cannot be loaded: 'x' (KeyError).{REBUILD}")
def tensorflow_that_fails_to_load(place):
    def refuse(path):
        raise KeyError("x")

    place.monkeypatch.setattr(tf, "load_op_library", refuse)
