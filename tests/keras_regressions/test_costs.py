"""Faults of Keras's normalizations in time and memory.

Each docstring says what keras.layers does, in Keras 3.15.1 on TensorFlow 2.21,
and where users reported it. Our layers must not have the fault.
"""

import itertools

import pytest

import keras_norms.benchmark
from benchmarks import layers as benchmark


def test_batch_norm_is_not_fused(monkeypatch):
    """Keras's batch norm takes three times as long as the fused one on CPUs.

    keras-core#225, keras#20003. No test measures time: this one runs the
    benchmark that compares the three.
    """
    monkeypatch.setattr(keras_norms.benchmark, "LAYERS", 1)
    case = ("BatchNormalization", (2, 4, 4, 32), "float32")
    for backward in (False, True):
        rows = list(benchmark.measure(*case, backward, 2))
        ways = itertools.product(["keras", "composed"], ["graph", "jit"])
        wanted = {"copy", "tensorflow fused", *map(" ".join, ways)}
        assert wanted <= {row["candidate"] for row in rows}
        assert all(row["copies"] > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GroupNormalization", "BatchNormalization"])
@pytest.mark.parametrize("kind", ["ours", "ours-fused"])
def test_mixed_precision_holds_float32(name, kind):
    """Keras keeps the float32 copy of x for the backward pass.

    In mixed_bfloat16 a layer with its relu holds 3.4 tensors of 16 bits, where
    1.5 are enough.
    """
    from benchmarks import memory

    # What the allocator wastes comes and goes: by a tenth of a tensor.
    held = (
        memory.tensors_per_layer(name, kind, "mixed_bfloat16")
        for _ in range(3)
    )
    assert any(tensors <= 1.5 for tensors in held)
