"""All layers with JAX and with PyTorch, as other processes.

`make test-slow` names the interpreter of an environment that has them.
"""

import os
import pathlib
import pickle
import subprocess

import numpy as np
import pytest

from tests.conformance import training_step
from tests.conformance.descriptors import DESCRIPTORS
from tests.references import formulas

PYTHON = os.environ.get("KERAS_NORMS_BACKENDS_PYTHON")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None,
        reason="KERAS_NORMS_BACKENDS_PYTHON names no interpreter",
    ),
]
ROOT = pathlib.Path(__file__).parents[2]
SHAPE = (5, 4, 3, 6)


def run(backend, *command, **environment):
    return subprocess.run(
        [PYTHON, *map(str, command)],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "JAX_ENABLE_X64": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=900,
    )


def runs_on(backend, descriptor):
    """PyTorch has no synchronized layers."""
    synchronized = (
        descriptor.arguments.get("synchronized")
        or descriptor.name == "CrossReplicaBatchNormalization"
    )
    return backend == "jax" or not synchronized


def cases(backend):
    """What `backend_program.py` reads, for each layer and mask."""
    x, dy, gamma, beta = training_step.data(SHAPE, -1)
    mask = np.random.default_rng(0).random(SHAPE[:3]) < 0.7
    found = {}
    for descriptor in DESCRIPTORS:
        if not runs_on(backend, descriptor):
            continue
        layer = training_step.build(descriptor, SHAPE, -1, gamma, beta)
        weights = training_step.weights(layer)
        for masked in (None, mask):
            found[descriptor.id, masked is not None] = {
                "name": descriptor.name,
                "arguments": {
                    "epsilon": formulas.EPSILON,
                    **descriptor.arguments,
                },
                "training": descriptor.training,
                "weights": weights,
                "x": x,
                "dy": dy,
                "mask": masked,
            }
    return found


# JAX computes in float64, and PyTorch in float32.
@pytest.mark.parametrize(
    ("backend", "tolerance"), [("jax", 1e-12), ("torch", 2e-6)]
)
def test_values_and_gradients(backend, tolerance, tmp_path):
    inputs, outputs = tmp_path / "cases.pickle", tmp_path / "results.pickle"
    tested = cases(backend)
    inputs.write_bytes(pickle.dumps(tested))
    program = pathlib.Path(__file__).with_name("backend_program.py")
    result = run(backend, program, inputs, outputs)
    assert result.returncode == 0, result.stderr
    results = pickle.loads(outputs.read_bytes())
    descriptors = {d.id: d for d in DESCRIPTORS}
    assert set(results) == set(tested)
    for (name, masked), have in results.items():
        case = tested[name, masked]
        expected = descriptors[name].expected(
            case["x"], case["dy"], case["weights"], -1, case["mask"]
        )
        for key, want in expected.items():
            scale = max(1.0, np.abs(want).max())
            np.testing.assert_allclose(
                have[key],
                want,
                rtol=0,
                atol=tolerance * scale,
                err_msg=f"{name} masked={masked} {key}",
            )
        np.testing.assert_array_equal(have["reloaded"], have["inference"])


def test_data_parallel_on_jax_equals_one_device(tmp_path):
    """Statistics are those of the whole batch, synchronized or not."""
    layers = [(d.name, d.arguments) for d in DESCRIPTORS]
    inputs, outputs = tmp_path / "layers.pickle", tmp_path / "results.pickle"
    inputs.write_bytes(pickle.dumps(layers))
    program = pathlib.Path(__file__).with_name("data_parallel_program.py")
    devices = "--xla_force_host_platform_device_count=4"
    result = run("jax", program, inputs, outputs, XLA_FLAGS=devices)
    assert result.returncode == 0, result.stderr
    alone, distributed = pickle.loads(outputs.read_bytes())
    for layer, *pair in zip(layers, distributed, alone, strict=True):
        for have, want in zip(*pair, strict=True):
            scale = max(1.0, np.abs(want).max())
            np.testing.assert_allclose(
                have, want, rtol=0, atol=1e-6 * scale, err_msg=str(layer)
            )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_layers_and_functions_on_models(backend):
    program = pathlib.Path(__file__).with_name("backend_features.py")
    result = run(backend, program)
    assert result.returncode == 0, result.stderr
    failed = [line for line in result.stdout.splitlines() if "FAILED" in line]
    assert not failed, result.stderr


NATIVE = """
import numpy as np
import keras_norms
with keras_norms.ops.using_native("always"):
    keras_norms.layers.GroupNormalization(2)(np.ones((2, 3, 4)))
"""


def test_the_native_library_requires_tensorflow():
    result = run("jax", "-c", NATIVE)
    assert (
        "The mode 'always', set by `KERAS_NORMS_NATIVE` or `using_native`, "
        "needs the TensorFlow backend of Keras. Received: the backend jax. "
        "Use the mode 'auto'."
    ) in result.stderr


@pytest.mark.parametrize(
    ("backend", "arguments", "message"),
    [
        (
            "torch",
            "synchronized=True",
            "`synchronized=True` requires TensorFlow, whose replicas of a "
            "`tf.distribute` strategy exchange statistics, or JAX, where the "
            "statistics of a batch that `keras.distribution` distributes are "
            "those of the whole batch. Received: synchronized=True with the "
            "backend torch. Use `synchronized=False`, or another backend.",
        ),
        (
            "jax",
            "replicas_per_group=2",
            "`replicas_per_group` requires TensorFlow, because statistics are "
            "those of the whole batch elsewhere. Received: "
            "replicas_per_group=2 with the backend jax. Use None.",
        ),
    ],
)
def test_what_requires_tensorflow_says_so(backend, arguments, message):
    name = "CrossReplicaBatchNormalization"
    program = f"import keras_norms; keras_norms.layers.{name}({arguments})"
    result = run(backend, "-c", program)
    assert result.stderr.rstrip().endswith(f"ValueError: {message}")
