"""Every layer runs in the runtimes of other formats, as well as Keras's."""

import pytest

from benchmarks.exports import __main__ as exports
from benchmarks.exports import subjects

# The largest error that a format may have. OpenVINO may use bfloat16.
ERRORS = {
    "saved_model": 1e-5,
    "onnx_keras": 1e-5,
    "onnx_tf2onnx": 1e-5,
    "openvino": 2e-2,
    "tflite_float32": 1e-5,
    "tflite_float16": 5e-3,
    "tflite_dynamic": 5e-2,
}


def measured(package, name):
    """The rows of a layer by format. Its process must not be ended."""
    rows, status, errors = exports.in_process(package, name)
    assert status == 0, errors[-2000:]
    return {row["format"]: row for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for package, n in subjects.names() if package == "keras_norms"]
)
def test_layer(name):
    rows = measured("keras_norms", name)
    assert set(rows) == {*ERRORS, "tflite_int8"}
    for kind, bound in ERRORS.items():
        assert rows[kind]["largest_error"] < bound, kind
    assert rows["tflite_int8"]["mean_error"] < 0.1
    if name not in subjects.OF_KERAS:
        return
    theirs = measured("keras", name)
    for kind in rows.keys() - {"saved_model"}:
        most = theirs[kind]["operations"] + 2
        assert rows[kind]["operations"] <= most, kind
    bound = 2 * theirs["tflite_int8"]["mean_error"]
    assert rows["tflite_int8"]["mean_error"] <= bound
