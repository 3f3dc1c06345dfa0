"""The actual results of a layer, for the settings of a case."""

import numpy as np
import tensorflow as tf

import keras_norms
from benchmarks.fuzz import arrays as arrays_of


def build(case, arrays):
    """Builds the layer of a case with random weights, returned by name."""
    arguments = dict(case.arguments)
    layer = getattr(keras_norms.layers, case.layer)(
        axis=case.axis, dtype=case.policy, **arguments
    )
    shape = list(case.shape)
    if case.run == "unknown batch":
        shape[0] = None
    layer.build(tuple(shape))
    for variable in layer.weights:
        variable.assign(arrays_of.weight(case, arrays, variable))
    trainable = layer.trainable_variables
    layer.trainable = case.training != "frozen"
    values = {v.name: np.asarray(v.numpy(), "float64") for v in layer.weights}
    return layer, trainable, values


def actual(case, layer, trainable, arrays):
    """Results by name, in their dtypes, and dy in float64."""
    dy = tf.cast(tf.constant(arrays.dy), layer.compute_dtype)
    names = ["y", "dx", *(f"d {v.name}" for v in trainable)]
    inputs = {"x": arrays.x, "dy": dy}
    if arrays.mask is not None:
        inputs["mask"] = tf.constant(arrays.mask)
    arguments = {}
    if hasattr(layer, "moving_mean"):
        arguments["training"] = case.training != "false"
        if case.training.startswith("tensor"):
            del arguments["training"]
            training = tf.constant(case.training == "tensor true")
            inputs["training"] = training

    def step(inputs):
        inputs = dict(inputs)
        x, dy = inputs.pop("x"), inputs.pop("dy")
        with tf.GradientTape() as tape:
            if x.dtype.is_floating:
                tape.watch(x)
            y = layer(x, **inputs, **arguments)
        # TensorFlow warns about gradients of integers.
        sources = [
            x if x.dtype.is_floating else dy,
            *(v.value for v in trainable),
        ]
        gradients = tape.gradient(y, sources, dy, unconnected_gradients="zero")
        return dict(zip(names, [y, *gradients], strict=True))

    if case.run != "eager":
        step = graph(case, step, inputs)
    mode = "auto" if case.native else "never"
    with keras_norms.ops.using_native(mode):
        results = step(inputs)
    if not arrays.x.dtype.is_floating:
        del results["dx"]
    if results["y"].dtype != layer.compute_dtype:
        raise AssertionError(
            f"y has dtype {results['y'].dtype}, not {layer.compute_dtype}"
        )
    differentiated = {id(v) for v in trainable}
    after = {
        v.name: v.value for v in layer.weights if id(v) not in differentiated
    }
    return results | after, tf.cast(dy, "float64").numpy()


def graph(case, step, inputs):
    if case.run != "unknown batch":
        return tf.function(
            step, autograph=False, jit_compile=case.run == "jit"
        )

    def spec(tensor):
        shape = [None, *tensor.shape[1:]] if tensor.shape.rank else []
        return tf.TensorSpec(shape, tensor.dtype)

    signature = [{name: spec(tensor) for name, tensor in inputs.items()}]
    return tf.function(step, autograph=False, input_signature=signature)
