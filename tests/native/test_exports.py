"""A saved model contains native operations only on request."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from tests.support.native_library import X
from tests.support.native_library import built


@built
@pytest.mark.parametrize("form", ["export", "save", "archive"])
def test_exports_load_where_the_package_is_absent(tmp_path, form):
    inputs = keras.Input((6, 7, 12))
    y = layers.GroupNormalization(groups=3)(inputs)
    model = keras.Model(inputs, layers.BatchNormalization()(y))
    want = model.predict(X, verbose=0)
    if form == "export":
        model.export(tmp_path / "model", verbose=False)
    elif form == "archive":
        archive = keras.export.ExportArchive()
        archive.track(model)
        signature = [tf.TensorSpec((None, 6, 7, 12))]
        archive.add_endpoint("serve", model.call, signature)
        archive.write_out(tmp_path / "model", verbose=False)
    else:
        tf.saved_model.save(model, str(tmp_path / "model"))
    written = (tmp_path / "model" / "saved_model.pb").read_bytes()
    assert b"KerasNorms>" not in written
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "want.npy", want)
    code = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load("model")
x = np.load("x.npy")
if hasattr(model, "serve"):
    got = model.serve(x)
else:
    [got] = model.signatures["serving_default"](tf.constant(x)).values()
np.testing.assert_allclose(got, np.load("want.npy"), atol=1e-5)
assert "keras_norms" not in sys.modules
print("good")
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "good" in result.stdout, result.stderr[-2000:]


@built
@pytest.mark.parametrize("native", [False, True])
def test_native_operations_are_exported_on_request(tmp_path, native):
    """Also of a function that was traced with them before."""
    module = tf.Module()
    module.layer = layers.GroupNormalization(groups=3)
    with ops.using_native("always"):
        module.run = tf.function(module.layer)
        module.run(tf.constant(X))
    with ops.using_native("always" if native else "auto"):
        tf.saved_model.save(module, str(tmp_path / "model"))
    written = (tmp_path / "model" / "saved_model.pb").read_bytes()
    assert (b"KerasNorms>GroupNorm" in written) == native
    reloaded = tf.saved_model.load(str(tmp_path / "model"))
    got = reloaded.run(tf.constant(X))
    np.testing.assert_allclose(got, module.layer(X), atol=1e-5)
