"""Faults of Keras's normalizations in arguments and configurations.

Each docstring says what keras.layers does, in Keras 3.15.1 on TensorFlow 2.21,
and where users reported it. Our layers must not have the fault.
"""

import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers

RNG = np.random.default_rng(0)


def test_arguments_of_keras_2_are_refused():
    """Keras 3 refuses `axis=[3]` and `fused`, which Keras 2 accepted.

    Also the name `virtual_batch_size`, for which ours names the new one.
    keras#12126.
    """
    assert layers.BatchNormalization(axis=[3]).get_config()["axis"] == 3
    layers.BatchNormalization(fused=True, virtual_batch_size=None)
    with pytest.raises(ValueError, match="Received: virtual_batch_size=8"):
        layers.BatchNormalization(virtual_batch_size=8)


def test_training_as_a_tensor():
    """Keras fails in a `tf.function` whose `training` is a tensor."""
    layer = layers.BatchNormalization(momentum=0.5)
    x = RNG.normal(3, 2, (8, 6)).astype("float32")
    layer.build(x.shape)
    step = tf.function(lambda x, training: layer(x, training=training))
    before = layer(x, training=False)
    np.testing.assert_allclose(step(x, tf.constant(False)), before, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(6))
    trained = step(x, tf.constant(True))
    np.testing.assert_allclose(trained, layer(x, training=True), atol=1e-6)
    assert (layer.moving_mean != 0).numpy().all()


def test_groups_of_minus_one_are_overwritten():
    """Keras's `build` replaces groups=-1 by the number of channels.

    Then the configuration of a built instance norm on 8 channels makes a group
    norm with 8 groups on 16 channels.
    """
    layer = layers.GroupNormalization(groups=-1)
    layer.build((None, 4, 8))
    restored = layers.GroupNormalization.from_config(layer.get_config())
    x = RNG.normal(size=(2, 4, 16))
    np.testing.assert_allclose(
        restored(x), layers.InstanceNormalization()(x), atol=1e-6
    )


def test_axis_and_groups_are_not_checked():
    """Keras raises bare errors for bad axes, or none.

    axis=[1, 2] is documented and a TypeError, axis=5 an IndexError, and axis=0
    normalizes over the batch. groups=True is accepted, np.int64(4) refused.
    """
    for axis in ([1, 2], 0, True):
        with pytest.raises(ValueError, match="`axis` must"):
            layers.GroupNormalization(axis=axis)
    with pytest.raises(ValueError, match="out of bounds"):
        layers.GroupNormalization(axis=5).build((None, 4, 6))
    with pytest.raises(ValueError, match="rank 2 or more"):
        layers.GroupNormalization().build((6,))
    with pytest.raises(ValueError, match="argument `groups`"):
        layers.GroupNormalization(groups=True)
    assert layers.GroupNormalization(groups=np.int64(4)).groups == 4
