"""The formats: each function returns outputs and the number of operations.

Inputs are passed one example at a time, as on a phone.
"""

import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

LOADED = """
import sys, numpy as np, tensorflow as tf
assert "keras_norms" not in sys.modules
model = tf.saved_model.load(sys.argv[1])
x = np.load(sys.argv[2])
y = [model.serve(example[None]) for example in x]
np.save(sys.argv[3], np.concatenate(y))
"""


def saved_model(model, x, calibration, folder):
    """A SavedModel, loaded in a process without this package."""
    path = folder / "saved_model"
    model.export(path, verbose=False)
    np.save(folder / "x.npy", x)
    files = [path, folder / "x.npy", folder / "y.npy"]
    subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, files)],
        check=True,
        cwd=folder,
        capture_output=True,
    )
    serving = tf.saved_model.load(path).signatures["serving_default"]
    definition = serving.graph.as_graph_def()
    bodies = [
        definition.node,
        *(f.node_def for f in definition.library.function),
    ]
    return np.load(folder / "y.npy"), sum(map(len, bodies))


def _tflite(model, x, change=lambda converter: None):
    from ai_edge_litert.interpreter import Interpreter

    fixed = keras.Input(model.input_shape[1:], batch_size=1)
    single = keras.Model(fixed, model(fixed))
    converter = tf.lite.TFLiteConverter.from_keras_model(single)
    change(converter)
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    count = sum(each["op_name"] != "DELEGATE" for each in details)
    [source] = interpreter.get_input_details()
    [result] = interpreter.get_output_details()
    outputs = []
    for example in x:
        value = _quantized(example[None], source)
        interpreter.set_tensor(source["index"], value)
        interpreter.invoke()
        y = interpreter.get_tensor(result["index"])
        outputs.append(_dequantized(y, result))
    return np.concatenate(outputs), count


def _quantized(x, details):
    scale, zero = details["quantization"]
    if not scale:
        return x
    return np.clip(np.round(x / scale + zero), -128, 127).astype("int8")


def _dequantized(y, details):
    scale, zero = details["quantization"]
    return (y.astype("float32") - zero) * scale if scale else y


def tflite_float32(model, x, calibration, folder):
    return _tflite(model, x)


def tflite_float16(model, x, calibration, folder):
    def change(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return _tflite(model, x, change)


def tflite_dynamic(model, x, calibration, folder):
    def change(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return _tflite(model, x, change)


def tflite_int8(model, x, calibration, folder):
    def change(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [example[None]] for example in calibration
        )
        operations = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.target_spec.supported_ops = operations
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8

    return _tflite(model, x, change)


def onnx_session(path, folder):
    """A session of ONNX Runtime, and the operations that it has left."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    optimized = str(folder / "optimized.onnx")
    options.optimized_model_filepath = optimized
    session = onnxruntime.InferenceSession(path, options)
    return session, len(onnx.load(optimized).graph.node)


def _onnx(path, x, folder):
    session, operations = onnx_session(path, folder)
    [source] = session.get_inputs()
    outputs = [session.run(None, {source.name: e[None]})[0] for e in x]
    return np.concatenate(outputs), operations


def onnx_keras(model, x, calibration, folder):
    path = str(folder / "keras.onnx")
    model.export(path, format="onnx", verbose=False)
    return _onnx(path, x, folder)


def onnx_tf2onnx(model, x, calibration, folder):
    import tf2onnx

    path = str(folder / "tf2onnx.onnx")
    spec = [tf.TensorSpec((None, *model.input_shape[1:]), name="x")]
    tf2onnx.convert.from_keras(model, spec, output_path=path)
    return _onnx(path, x, folder)


def openvino(model, x, calibration, folder):
    import openvino as ov

    converted = ov.convert_model(model)
    compiled = ov.compile_model(converted, "CPU")
    outputs = [compiled(e[None])[0] for e in x]
    return np.concatenate(outputs), len(compiled.get_runtime_model().get_ops())


# The last one may end the process.
FORMATS = (
    saved_model,
    onnx_keras,
    onnx_tf2onnx,
    openvino,
    tflite_float32,
    tflite_float16,
    tflite_dynamic,
    tflite_int8,
)
