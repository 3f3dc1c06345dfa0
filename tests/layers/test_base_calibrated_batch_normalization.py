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
from tests.support.samples import close
from tests.support.samples import inputs
from tests.support.samples import running
from tests.support.samples import trained
from tests.support.samples import with_averages

CALIBRATIONS = ["representative", "instance_enhancement"]


def test_calibrated_norms_start_as_a_share_of_batch_norm():
    x = inputs()
    layer = layers.RepresentativeBatchNormalization(**FLOAT64)
    want = trained(batch_norm_like(layer), x)
    close(trained(layer, x), 0.7310585786300049 * want)
    layer = layers.InstanceEnhancementBatchNormalization(**FLOAT64)
    close(trained(layer, x), 0.2689414213699951 * want)


def test_moments_of_calibrated_centers():
    x = inputs()
    layer = layers.RepresentativeBatchNormalization(momentum=0.0, **FLOAT64)
    weight = randomized(layer).center_weight.numpy()
    layer(x, training=True)
    means = x.mean((1, 2))
    close(layer.moving_mean, (1 + weight) * x.mean(AXES))
    want = x.var((1, 2)).mean(0) + (1 + weight) ** 2 * means.var(0)
    close(layer.moving_variance, want)


def test_center_weight_minus_1_takes_each_examples_mean_away():
    layer = layers.RepresentativeBatchNormalization(**EXACT)
    layer.build(inputs().shape)
    layer.center_weight.assign(-np.ones(CHANNELS))
    y = trained(layer, inputs())
    close(y.mean((1, 2)), 0)


def test_an_open_gate_leaves_batch_norm():
    layer = layers.RepresentativeBatchNormalization(**FLOAT64)
    layer.build(inputs().shape)
    layer.scale_bias.assign(np.full(CHANNELS, 50.0))
    close(
        trained(layer, inputs()),
        trained(batch_norm_like(layer), inputs()),
    )


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_calibrated_inference_does_not_see_the_other_examples(
    calibration, weight
):
    layer = layers.UnifiedBatchNormalization(
        scale_calibration=calibration, inference_weight=weight, **FLOAT64
    )
    with_averages(randomized(layer), *running())
    x = inputs()
    alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
    close(layer(x), alone)


def test_weighing_of_calibrated_centers_is_that_of_their_moments():
    layer = layers.UnifiedBatchNormalization(
        calibrate_scale=False, inference_weight=0.3, **EXACT
    )
    with_averages(randomized(layer), *running())
    x, (mean, variance) = inputs(), running()
    x = x + layer.center_weight.numpy() * x.mean((1, 2), keepdims=True)
    first = 0.3 * x.mean((1, 2)) + 0.7 * mean
    second = 0.3 * (x**2).mean((1, 2)) + 0.7 * (variance + mean**2)
    deviation = np.sqrt(second - first**2)[:, None, None]
    want = (x - first[:, None, None]) / deviation
    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    close(layer(inputs()), want * gamma + beta)
