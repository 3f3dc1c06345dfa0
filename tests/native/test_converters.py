"""Graphs that leave the process have no operation of the native library."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import dispatch

SHAPE = (6, 5, 8)
X = np.random.default_rng(0).normal(2, 3, (4, *SHAPE)).astype("float32")
GROUPS = {
    "BatchNormalization": {},
    "BatchGroupNormalization": {"groups": 4},
}
SPEC = [tf.TensorSpec((None, *SHAPE), name="x")]


@pytest.fixture
def model():
    """A functional model that was trained with the library.

    `tf2onnx` and OpenVINO convert no Sequential model of Keras 3.
    """
    x = keras.Input(SHAPE, name="x")
    y = layers.GroupNormalization(groups=4, activation="relu")(x)
    y = layers.GhostBatchNormalization(ghost_batch_size=2)(y)
    y = layers.BatchNormalization(inference_weight=0.1)(y)
    model = keras.Model(x, y)
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    return model


@pytest.fixture
def wanted(model):
    return model.predict(X, verbose=0)


def frozen(model, spec):
    from tensorflow.python.framework import convert_to_constants as convert

    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(spec)
    return convert.convert_variables_to_constants_v2(concrete)


def run_onnx(onnx_model):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(onnx_model.SerializeToString())
    [name] = [each.name for each in session.get_inputs()]
    return session.run(None, {name: X})[0]


def test_frozen_graphs(model, wanted):
    function = frozen(model, *SPEC)
    definition = function.graph.as_graph_def()
    bodies = [f.node_def for f in definition.library.function]
    nodes = [n for body in (definition.node, *bodies) for n in body]
    assert not [n.op for n in nodes if "KerasNorms" in n.op]
    np.testing.assert_allclose(function(tf.constant(X))[0], wanted, atol=1e-5)


def test_tflite_from_concrete_functions(model, wanted):
    """The function is frozen: the converter leaves variables uninitialized."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [frozen(model, tf.TensorSpec(X.shape, name="x"))]
    )
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], X)
    interpreter.invoke()
    output = interpreter.get_output_details()[0]["index"]
    np.testing.assert_allclose(
        interpreter.get_tensor(output), wanted, atol=1e-5
    )


def test_tf2onnx_from_keras(model, wanted):
    tf2onnx = pytest.importorskip("tf2onnx")
    converted, _ = tf2onnx.convert.from_keras(model, SPEC)
    np.testing.assert_allclose(run_onnx(converted), wanted, atol=1e-5)


def test_tf2onnx_from_function(model, wanted):
    tf2onnx = pytest.importorskip("tf2onnx")
    function = tf.function(lambda x: model(x, training=False))
    converted, _ = tf2onnx.convert.from_function(function, SPEC)
    np.testing.assert_allclose(run_onnx(converted), wanted, atol=1e-5)


def test_openvino(model, wanted):
    openvino = pytest.importorskip("openvino")
    converted = openvino.convert_model(model)
    [have] = openvino.compile_model(converted, "CPU")(X).values()
    np.testing.assert_allclose(have, wanted, atol=1e-5)


def test_called_functions_run_natively(model):
    """Only `get_concrete_function` traces a portable graph."""
    built = dispatch.load_if_supported(X.shape, X.dtype)

    def native(function):
        graph = function.get_concrete_function(tf.TensorSpec(X.shape)).graph
        return any("KerasNorms" in o.type for o in graph.get_operations())

    called, traced = tf.function(model), tf.function(model)
    called(tf.constant(X))
    assert native(called) == built
    assert not native(traced)
    if built:
        with ops.using_native("always"):
            assert native(tf.function(model))


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("BatchNormalization", "ghost_batch_size"),
        ("BatchGroupNormalization", "examples_per_group"),
    ],
)
def test_inference_graph_has_no_ghost_batches(name, block):
    """Inference needs no layout of ghost batches."""

    def operations(examples):
        layer = getattr(layers, name)(**{block: examples}, **GROUPS[name])
        layer.build((None, *SHAPE))
        function = tf.function(lambda x: layer(x, training=False))
        graph = function.get_concrete_function(*SPEC).graph
        return sorted(o.type for o in graph.get_operations())

    assert operations(2) == operations(None)
