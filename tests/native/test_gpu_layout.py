"""TensorFlow's layout optimizer on a GPU that exists only in its description.

It computes convolutions with the channels first, and transposes what other
operations read and write.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.core.protobuf import device_properties_pb2
from tensorflow.python.grappler import cluster
from tensorflow.python.grappler import tf_optimizer

from keras_norms import layers
from keras_norms import ops
from keras_norms.native import dispatch
from tests.support.native_library import built

SHAPE = (4, 16, 16, 8)
DEVICE = "/job:localhost/replica:0/task:0/device:GPU:0"
# The GPUs on which each dtype has another layout.
GPUS = [
    ("float32", (7, 5)),
    ("float32", (9, 0)),
    ("bfloat16", (7, 5)),
    ("bfloat16", (9, 0)),
    ("float16", (9, 0)),
]
NORMS = {
    "batch": layers.BatchNormalization,
    "two passes": lambda **how: layers.BatchNormalization(renorm=True, **how),
    "group": lambda **how: layers.GroupNormalization(groups=4, **how),
}


def training_step(create, dtype):
    """The gradients of three convolutions, with a norm and relu after each."""
    model = keras.Sequential()
    for i in range(3):
        model.add(
            keras.layers.Conv2D(
                SHAPE[-1],
                3,
                padding="same",
                use_bias=False,
                kernel_initializer=keras.initializers.GlorotNormal(i),
                dtype=dtype,
            )
        )
        model.add(create(dtype=dtype))
        model.add(keras.layers.ReLU(dtype=dtype))
    model.build(SHAPE)

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            y = tf.cast(model(x, training=True), "float32")
            loss = tf.reduce_mean(y**3)
        return tape.gradient(loss, model.trainable_variables)

    return step


def traced(create, dtype, capability, monkeypatch):
    step = training_step(create, dtype)
    with monkeypatch.context() as patch, ops.using_native("always"):
        patch.setattr(dispatch, "gpus", lambda: (capability,))
        patch.setattr(dispatch, "check_gpus", lambda capabilities: None)
        return step, step.get_concrete_function(tf.TensorSpec(SHAPE))


def large_transposes(concrete, capability):
    """The number of transposes of large tensors that remain."""
    definition = concrete.graph.as_graph_def()
    for node in definition.node:
        node.device = DEVICE
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=graph)
    fetched = meta_graph.collection_def["train_op"].node_list.value
    fetched.extend(output.op.name for output in concrete.outputs)
    gpu = device_properties_pb2.NamedDevice(name=DEVICE)
    gpu.properties.type, gpu.properties.vendor = "GPU", "NVIDIA"
    version = ".".join(map(str, capability))
    gpu.properties.environment["architecture"] = version
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    optimized = tf_optimizer.OptimizeGraph(
        config, meta_graph, cluster=cluster.Cluster(devices=[gpu])
    )
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(optimized, name="")
    sizes = (
        operation.inputs[0].shape.num_elements()
        for operation in graph.get_operations()
        if operation.type == "Transpose"
    )
    return sum(size is None or size >= np.prod(SHAPE) for size in sizes)


@functools.cache
def of_keras(dtype, capability):
    step = training_step(keras.layers.BatchNormalization, dtype)
    concrete = step.get_concrete_function(tf.TensorSpec(SHAPE))
    return large_transposes(concrete, capability)


@built
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("dtype", "capability"), GPUS)
def test_no_more_transposes_than_keras_s(norm, dtype, capability, monkeypatch):
    _, concrete = traced(NORMS[norm], dtype, capability, monkeypatch)
    found = large_transposes(concrete, capability)
    if of_keras(dtype, capability) == 0:
        assert found == 0
    else:
        # Keras's layer has about five for each convolution. Ours have one
        # before and one after the relu, and two at the ends.
        assert found <= min(8, of_keras(dtype, capability))


@built
@pytest.mark.parametrize("norm", NORMS)
def test_moved_channels_change_no_values(norm, monkeypatch):
    x = tf.random.stateless_normal(SHAPE, (0, 1))
    moved, _ = traced(NORMS[norm], "float32", (7, 5), monkeypatch)
    graph = moved.get_concrete_function(tf.TensorSpec(SHAPE)).graph
    assert any(o.type == "Transpose" for o in graph.get_operations())
    with ops.using_native("never"):
        wanted = training_step(NORMS[norm], "float32")(x)
    for got, want in zip(moved(x), wanted, strict=True):
        scale = float(tf.reduce_max(tf.abs(want)))
        np.testing.assert_allclose(got, want, atol=2e-5 * scale)


@built
def test_channels_stay_where_no_convolution_is_near(monkeypatch):
    layer = layers.GroupNormalization(groups=4)
    monkeypatch.setattr(dispatch, "gpus", lambda: ((7, 5),))
    monkeypatch.setattr(dispatch, "check_gpus", lambda capabilities: None)
    with ops.using_native("always"):
        function = tf.function(lambda x: layer(tf.nn.relu(x)))
        graph = function.get_concrete_function(tf.TensorSpec(SHAPE)).graph
    types = {operation.type for operation in graph.get_operations()}
    assert "KerasNorms>GroupNorm" in types
    assert "Transpose" not in types
