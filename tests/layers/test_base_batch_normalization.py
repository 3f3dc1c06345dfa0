"""Errors of the base class of layers with running statistics."""

import numpy as np
import pytest

from keras_norms import ops
from keras_norms.layers import BaseBatchNormalization
from tests.support.refusals import refusal

X = np.random.default_rng(0).normal(1, 2, (70, 4)).astype("float32")


@pytest.mark.parametrize("training", [False, True])
def test_reading_instance_moments_requires_per_example(training):
    class Forgetful(BaseBatchNormalization):
        def algebra(self, moments, instance, params):
            return ops.affine(moments.blend(instance, 0.5))

    layer = Forgetful()
    layer.build(X.shape)
    message = refusal(layer.call, X, training=training)
    assert message == (
        "A layer that reads the moments of each example must set "
        "`per_example = True`. Received: `instance.minus` without it. Set it "
        "in the class."
    )
