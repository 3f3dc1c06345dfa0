"""The annotations of the package serve a program that is type-checked."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]

CONFIGURATION = """
[mypy]
ignore_missing_imports = true
disallow_untyped_defs = true
warn_unused_ignores = true

# mypy reports nothing of an installed package, but does of this source tree.
[mypy-keras_norms.*]
disallow_untyped_defs = false

[mypy-numpy.*,platformdirs.*]
follow_imports = skip
"""

# A line that mypy must reject has the code of the error as a comment.
PROGRAM = """
from typing import Any

import keras

from keras_norms import layers
from keras_norms import models
from keras_norms import ops


class RootMeanSquare(layers.BaseNormalization):
    def coefficients(
        self, moments: ops.Moments, params: ops.Params
    ) -> ops.Coefficients:
        square = moments.variance + moments.mean**2 + self.epsilon
        scale = params.gamma / keras.ops.sqrt(square)
        return ops.Coefficients(0.0, scale, params.beta)


class Gated(layers.BaseBatchNormalization):
    per_example = True

    def algebra(
        self, moments: ops.Moments, instance: ops.Moments, params: ops.Params
    ) -> ops.Coefficients:
        total = moments.variance + instance.variance
        gamma = moments.variance / total * params.gamma
        return ops.affine(moments, gamma, params.beta, self.epsilon)


class Wrong(layers.BaseBatchNormalization):
    def channel_groups(self, moments: str) -> ops.Moments:  # override
        return ops.instance_moments(moments)


def build(x: Any) -> Any:
    layer = layers.BatchNormalization(ghost_batch_size=32, momentum=0.9)
    pooled: ops.Moments = ops.instance_moments(x).pool(groups=1)
    y = ops.group_normalization(layer(x), groups=2, epsilon=1e-5)
    y, _ = ops.normalize(y, lambda moments: ops.affine(moments))
    curve: dict[float, float] = models.tune_inference_weight(
        keras.Sequential([layer]), [(x, y)], "mse", weights=[0.0, 0.1]
    )
    layers.GroupNormalization(groups="four")  # arg-type
    layers.GhostBatchNormalization(ghost_statistics=1)  # arg-type
    pooled.deviation  # attr-defined
    return curve
"""


def test_a_program_is_type_checked(tmp_path, monkeypatch):
    api = pytest.importorskip("mypy.api", reason="mypy is not installed")
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    report, problem, _ = api.run(
        [
            f"--config-file={tmp_path / 'mypy.ini'}",
            f"--cache-dir={tmp_path / 'cache'}",
            "--no-error-summary",
            "--hide-error-context",
            str(tmp_path / "program.py"),
        ]
    )
    assert not problem
    found = [line for line in report.splitlines() if ": error: " in line]
    expected = {
        number: line.partition("  # ")[2]
        for number, line in enumerate(PROGRAM.splitlines(), start=1)
        if "  # " in line
    }
    received = {}
    for line in found:
        path, number, _, message = line.split(":", maxsplit=3)
        assert path.endswith("program.py"), line
        received[int(number)] = message.rpartition("[")[2].rstrip("]")
    assert received == expected


def test_the_package_is_marked_as_typed():
    assert (ROOT / "keras_norms" / "py.typed").exists()
