"""An installation that is damaged, foreign or unreachable costs speed only.

Whatever is wrong with the library, layers run composed after one warning, and
the commands end with a message instead of a traceback.
"""

import os
import re
import warnings

import numpy as np
import pytest

from keras_norms import layers
from keras_norms.native import cache
from keras_norms.native import dispatch
from tests.native.damages import DAMAGES
from tests.support.installations import CANNOT_BUILD
from tests.support.installations import KEY
from tests.support.installations import NO_PLACE
from tests.support.installations import as_nobody
from tests.support.installations import command
from tests.support.installations import matches

X = np.random.default_rng(0).normal(3, 2, (2, 5, 4)).astype("float32")


def check_layer(words):
    """Layers run with one warning; the mode "always" raises an error."""
    layer = layers.InstanceNormalization(epsilon=1e-3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            y = layer(X)
    x = X.astype("float64")
    want = x - x.mean(1, keepdims=True)
    want /= np.sqrt(x.var(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, want, atol=1e-5)
    [warning] = caught
    assert matches(
        "keras_norms is running without its native library and will be "
        f"slower. {words} Set KERAS_NORMS_NATIVE=never to silence this "
        "warning.",
        str(warning.message),
    )
    os.environ["KERAS_NORMS_NATIVE"] = "always"
    with pytest.raises(RuntimeError) as refused:
        dispatch.load_if_supported(X.shape, X.dtype)
    os.environ["KERAS_NORMS_NATIVE"] = "auto"
    assert matches(
        "The mode 'always', set by `KERAS_NORMS_NATIVE` or `using_native`, "
        "needs the native library, which is not active. " + words,
        str(refused.value),
    )


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged(name, place, monkeypatch, capsys):
    act, words = DAMAGES[name]
    words = words.format(library=place.library, manifest=place.manifest)
    act(place)
    with as_nobody():
        check_layer(words)
        printed, code = command(monkeypatch, capsys, "info")
    assert code is None
    [line] = re.findall(
        "^native library, eager and graph mode: (.*)", printed, re.MULTILINE
    )
    assert matches(f"unusable. {words}", line)
    assert "native library, under XLA: unusable. " in printed


# What `build` ends with after a damage that it cannot mend: of all others,
# that the library of `empty_builds` cannot be loaded.
UNMENDED = {
    "cache_is_a_file": CANNOT_BUILD,
    "cache_with_a_name_too_long": CANNOT_BUILD,
    "cache_with_a_path_too_long": CANNOT_BUILD,
    "no_home": NO_PLACE,
    "no_home_as_older_platformdirs_answer": NO_PLACE,
    "no_platformdirs": NO_PLACE,
    "sources_missing": "The package must contain the sources of the native ",
    "tensorflow_without_flags": KEY,
}


@pytest.mark.usefixtures("empty_builds")
@pytest.mark.parametrize("name", DAMAGES)
def test_builds_mend_what_was_damaged(name, place, monkeypatch, capsys):
    act, _ = DAMAGES[name]
    act(place)
    arguments = ("--no-gpus", "--no-xla", "--force")
    _, code = command(monkeypatch, capsys, "build", *arguments)
    loading = "The native library cannot be loaded: "
    assert code.startswith(UNMENDED.get(name, loading))
    if name not in UNMENDED:
        built = cache.find_library()
        assert built.read_bytes() == b""
        # Nothing is left over of what was there.
        assert [p.name for p in built.parents[1].iterdir()][1:] == []
