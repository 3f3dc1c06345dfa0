"""Sums keep their digits with large means, long axes and any layout."""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.references.block_moments import normalized

# Layers, their arguments, and the blocks that they pool in training.
LAYERS = [
    ("GroupNormalization", {"groups": 4}, {"groups": 4}),
    ("BatchNormalization", {}, {"examples": None}),
    ("GhostBatchNormalization", {"ghost_batch_size": 2}, {"examples": 2}),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mode", ["graph", "xla", "unknown sizes"])
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize(
    "shape", [(4, 8, 8, 16), (2, 33, 7, 24), (3, 50, 50, 8)]
)
@pytest.mark.parametrize(("name", "arguments", "blocks"), LAYERS)
def test_large_mean_keeps_precision(
    name, arguments, blocks, shape, channels_first, mode, masked
):
    random = np.random.default_rng(0)
    x = random.normal(1e4, 1.0, shape).astype("float32")
    mask = random.random(shape[:-1]) < 0.7 if masked else None
    axis = 1 if channels_first else -1
    x = np.moveaxis(x, -1, axis)
    layer = getattr(layers, name)(axis=axis, **arguments)
    layer.build(x.shape)

    sizes = np.array(x.shape, object)
    if mode == "unknown sizes":
        sizes[np.arange(4) != axis % 4] = None

    @tf.function(
        jit_compile=mode == "xla", input_signature=[tf.TensorSpec(sizes)]
    )
    def run(x):
        return layer(x, training=True, mask=mask)

    want = normalized(x, axis, mask=mask, **blocks)
    np.testing.assert_allclose(run(x), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(100003, 6), (1, 200003, 3, 2)])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_long_axes_keep_precision(shape, mean):
    x = np.random.default_rng(0).normal(mean, 1, shape).astype("float32")
    layer = layers.BatchNormalization()
    y = layer(x, training=True)
    want = normalized(x, -1, examples=None)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5)
