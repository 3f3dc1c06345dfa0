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


LAYERS = [n for package, n in subjects.names() if package == "keras_norms"]
# A process starts in half of the time that a layer takes.
PER_PROCESS = 6

pytestmark = pytest.mark.slow


def measured(package, *names):
    """The rows of layers by format. Their process must not be ended."""
    rows, status, errors = exports.in_process(package, *names)
    assert status == 0, errors[-2000:]
    return {
        name: {row["format"]: row for row in rows if row["layer"] == name}
        for name in names
    }


@pytest.mark.parametrize("start", range(0, len(LAYERS), PER_PROCESS))
def test_layers(start):
    names = LAYERS[start : start + PER_PROCESS]
    for name, rows in measured("keras_norms", *names).items():
        assert set(rows) == {*ERRORS, "tflite_int8"}, name
        for kind, bound in ERRORS.items():
            assert rows[kind]["largest_error"] < bound, (name, kind)
        assert rows["tflite_int8"]["mean_error"] < 0.1, name


def test_no_more_operations_than_keras():
    of_keras = measured("keras", *subjects.OF_KERAS)
    for name, rows in measured("keras_norms", *subjects.OF_KERAS).items():
        theirs = of_keras[name]
        for kind in rows.keys() - {"saved_model"}:
            most = theirs[kind]["operations"] + 2
            assert rows[kind]["operations"] <= most, (name, kind)
        bound = 2 * theirs["tflite_int8"]["mean_error"]
        assert rows["tflite_int8"]["mean_error"] <= bound, name
