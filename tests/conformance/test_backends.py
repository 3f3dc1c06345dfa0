"""The composed backend on JAX and PyTorch, where they are installed."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.references import oracles

# Output and gradient of four layers in training, in float64.
PROGRAM = """
import sys
import keras
import numpy as np
import keras_norms

def gradients(loss, x):
    if keras.backend.backend() == "jax":
        import jax
        return jax.grad(loss)(x)
    x.requires_grad_(True)
    loss(x).backward()
    return x.grad

x, dy = np.load(sys.argv[1])
results = []
for layer in (
    keras_norms.layers.GroupNormalization(3, dtype="float64"),
    keras_norms.layers.BatchNormalization(dtype="float64"),
    keras_norms.layers.GhostBatchNormalization(2, dtype="float64"),
    keras_norms.layers.BatchGroupNormalization(3, dtype="float64"),
):
    layer.build(x.shape)

    def loss(x):
        if keras.backend.backend() == "jax":
            trainable = [v.value for v in layer.trainable_variables]
            others = [v.value for v in layer.non_trainable_variables]
            y, _ = layer.stateless_call(trainable, others, x, **arguments)
        else:
            y = layer(x, **arguments)
        return keras.ops.sum(y * keras.ops.convert_to_tensor(dy))

    trains = not isinstance(layer, keras_norms.layers.GroupNormalization)
    arguments = {"training": True} if trains else {}
    inputs = keras.ops.convert_to_tensor(x, "float64")
    y = layer(inputs, **arguments)
    dx = gradients(loss, inputs)
    results.append([keras.ops.convert_to_numpy(a) for a in (y, dx)])
np.save(sys.argv[2], results)
"""

# The number of examples and of groups that the layers pool over.
POOLS = [(1, 3), (None, 6), (2, 6), (None, 3)]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_values_and_gradients(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    x, dy = np.random.default_rng(0).normal(2, 1, (2, 5, 4, 3, 6))
    np.save(tmp_path / "inputs.npy", [x, dy])
    subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM),
            *(tmp_path / "inputs.npy", tmp_path / "outputs.npy"),
        ],
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_ENABLE_X64": "1"},
        check=True,
        timeout=300,
    )
    outputs = np.load(tmp_path / "outputs.npy")
    ones, zeros = np.ones(6), np.zeros(6)
    for (y, dx), (examples, groups) in zip(outputs, POOLS, strict=True):
        want = oracles.normalize(x, dy, ones, zeros, -1, examples, groups)
        np.testing.assert_allclose(y, want.y, atol=1e-12)
        np.testing.assert_allclose(dx, want.dx, atol=1e-12)
