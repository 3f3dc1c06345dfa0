"""Trains layers with the backend of Keras that KERAS_BACKEND names.

`test_backends.py` runs it in another process, without TensorFlow:

    python backend_program.py cases.pickle results.pickle
"""

import os
import pickle
import sys
import tempfile

import keras
import numpy as np
from keras import ops

import keras_norms

BACKEND = keras.backend.backend()


# On PyTorch, operations of Keras compute float64 in float32.
DTYPE = "float32" if BACKEND == "torch" else "float64"


def created(case):
    layer_class = getattr(keras_norms.layers, case["name"])
    layer = layer_class(dtype=DTYPE, **case["arguments"])
    layer.build(case["x"].shape)
    for variable in layer.trainable_variables:
        variable.assign(case["weights"][variable.name])
    return layer


def train(layer, x, dy, mask, arguments):
    """y, and the gradients of x and of the weights of `sum(y dy)`."""
    variables = layer.trainable_variables
    if BACKEND == "torch":
        x.requires_grad_(True)
        y = layer(x, mask=mask, **arguments)
        ops.sum(y * dy).backward()
        return [y, x.grad, *(variable.value.grad for variable in variables)]
    import jax

    states = [v.value for v in layer.non_trainable_variables]

    def forward(x, weights):
        y, _ = layer.stateless_call(weights, states, x, mask=mask, **arguments)
        return ops.sum(y * dy), y

    values = x, [variable.value for variable in variables]
    gradients = jax.jit(jax.grad(forward, (0, 1), has_aux=True))
    (dx, d_weights), y = gradients(*values)
    layer(x, mask=mask, **arguments)  # updates the running statistics
    return [y, dx, *d_weights]


def reloaded(layer, x):
    """The output at inference of the layer, saved and loaded."""
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=DTYPE)])
    model.add(layer)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        return keras.saving.load_model(path)(x)


def results(case):
    layer = created(case)
    x, dy = (ops.convert_to_tensor(case[n], DTYPE) for n in ("x", "dy"))
    mask = case["mask"]
    mask = None if mask is None else ops.convert_to_tensor(mask)
    tensors = train(layer, x, dy, mask, case["training"])
    names = ["y", "dx", *(v.name for v in layer.trainable_variables)]
    tensors += [layer(x), reloaded(layer, x)]
    names += ["inference", "reloaded"]
    return {
        name: np.array(ops.convert_to_numpy(tensor))
        for name, tensor in zip(names, tensors, strict=True)
    }


def main(cases_path, results_path):
    with open(cases_path, "rb") as file:
        cases = pickle.load(file)
    with open(results_path, "wb") as file:
        pickle.dump({name: results(c) for name, c in cases.items()}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
