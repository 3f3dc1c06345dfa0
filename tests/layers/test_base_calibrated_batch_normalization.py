"""Center and scale calibrations, of representative batch norm and others."""

import numpy as np
import pytest

from keras_norms import layers
from tests.layers.steps import AXES
from tests.layers.steps import FLOAT64
from tests.layers.steps import batch_norm_like
from tests.layers.steps import randomized
from tests.support.samples import BATCH
from tests.support.samples import CHANNELS
from tests.support.samples import EXACT
from tests.support.samples import assert_close
from tests.support.samples import inputs
from tests.support.samples import random_moments
from tests.support.samples import training_output
from tests.support.samples import with_running_statistics

CALIBRATED = [
    layers.RepresentativeBatchNormalization,
    layers.InstanceEnhancementBatchNormalization,
    layers.UnifiedBatchNormalization,
]


def test_initial_output_is_a_fraction_of_batch_norm():
    x = inputs()
    layer = layers.RepresentativeBatchNormalization(**FLOAT64)
    want = training_output(batch_norm_like(layer), x)
    assert_close(training_output(layer, x), 0.7310585786300049 * want)
    layer = layers.UnifiedBatchNormalization(**FLOAT64)
    assert_close(training_output(layer, x), 0.7310585786300049 * want)
    layer = layers.InstanceEnhancementBatchNormalization(**FLOAT64)
    assert_close(training_output(layer, x), 0.2689414213699951 * want)


def test_moments_of_calibrated_centers():
    x = inputs()
    layer = layers.RepresentativeBatchNormalization(momentum=0.0, **FLOAT64)
    weight = randomized(layer).center_weight.numpy()
    layer(x, training=True)
    means = x.mean((1, 2))
    assert_close(layer.moving_mean, (1 + weight) * x.mean(AXES))
    want = x.var((1, 2)).mean(0) + (1 + weight) ** 2 * means.var(0)
    assert_close(layer.moving_variance, want)


def test_center_weight_minus_1_subtracts_instance_means():
    layer = layers.RepresentativeBatchNormalization(**EXACT)
    layer.build(inputs().shape)
    layer.center_weight.assign(-np.ones(CHANNELS))
    y = training_output(layer, inputs())
    assert_close(y.mean((1, 2)), 0)


def test_open_gate_equals_batch_norm():
    layer = layers.RepresentativeBatchNormalization(**FLOAT64)
    layer.build(inputs().shape)
    layer.scale_bias.assign(np.full(CHANNELS, 50.0))
    assert_close(
        training_output(layer, inputs()),
        training_output(batch_norm_like(layer), inputs()),
    )


@pytest.mark.parametrize("layer_class", CALIBRATED)
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_inference_is_independent_of_other_examples(layer_class, weight):
    layer = layer_class(inference_weight=weight, **FLOAT64)
    with_running_statistics(randomized(layer), *random_moments())
    x = inputs()
    alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
    assert_close(layer(x), alone)


def test_example_weighing_blends_calibrated_moments():
    layer = layers.UnifiedBatchNormalization(
        calibrate_scale=False,
        affine="channel",
        inference_weight=0.3,
        **EXACT,
    )
    with_running_statistics(randomized(layer), *random_moments())
    x, (mean, variance) = inputs(), random_moments()
    x = x + layer.center_weight.numpy() * x.mean((1, 2), keepdims=True)
    first = 0.3 * x.mean((1, 2)) + 0.7 * mean
    second = 0.3 * (x**2).mean((1, 2)) + 0.7 * (variance + mean**2)
    deviation = np.sqrt(second - first**2)[:, None, None]
    want = (x - first[:, None, None]) / deviation
    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    assert_close(layer(inputs()), want * gamma + beta)
