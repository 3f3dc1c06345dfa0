"""Refusals of the layers that are called with two inputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from tests.support.refusals import refusal

BATCH, CHANNELS, DOMAINS = 6, 5, 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("groups",),
            "`normalization` must be one of ['instance', 'group', 'layer', "
            "'batch']. Received: normalization='groups'. Use one of these.",
        ),
        (
            (keras.layers.BatchNormalization(name="theirs"),),
            "`normalization` must be a layer of keras_norms with one input "
            "and without a convolution, or 'instance', 'group', 'layer' or "
            "'batch'. Received: 'theirs'. For unified batch norm, pass "
            '`affine="channel"`.',
        ),
        (
            (layers.UnifiedBatchNormalization(name="unified"),),
            "`normalization` must be a layer of keras_norms with one input "
            "and without a convolution, or 'instance', 'group', 'layer' or "
            "'batch'. Received: 'unified'. For unified batch norm, pass "
            '`affine="channel"`.',
        ),
        (
            ("batch", "film"),
            "`projection` must be 'dense', 'moments', a layer or None. "
            "Received: projection='film'. To use a function, pass a "
            "`keras.layers.Lambda` or a layer of your own.",
        ),
    ],
)
def test_other_normalizations_are_refused(arguments, message):
    assert refusal(layers.ConditionalNormalization, *arguments) == message


@pytest.mark.parametrize(
    ("projection", "shape"),
    [
        (None, (BATCH, CHANNELS)),
        ("dense", (BATCH, 3, 5)),
        (keras.layers.Dense(CHANNELS), (BATCH, 5)),
    ],
)
def test_conditions_of_other_shapes_are_refused(projection, shape):
    x = np.zeros((BATCH, 4, CHANNELS))
    layer = layers.ConditionalNormalization("instance", projection)
    received = shape
    if projection == "dense":
        received = (*shape[:-1], 2 * CHANNELS)
    elif projection is not None:
        received = (BATCH, CHANNELS)
    assert refusal(layer, x, np.zeros(shape)) == (
        "The projection of the condition must have the shape `[batch, 2 * "
        f"channels]`, here (batch, {2 * CHANNELS}). Received: {received}. "
        "Pass a condition of rank 2, with `projection=None` of 2 * channels "
        "numbers, or another projection."
    )


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (
            4,
            "`domain` must be from 0 to `domains - 1`, 3. Received: 4. "
            "Correct it, or create the layer with more domains.",
        ),
        (
            np.array([0, 1, -1]),
            "`domain` must be from 0 to `domains - 1`, 3. Received: -1. "
            "Correct it, or create the layer with more domains.",
        ),
        (
            np.zeros(3),
            "`domain` must be an integer for each example, `[batch]` or "
            "`[batch, 1]`, or one integer. Received: shape (3,), dtype "
            "float64. Pass the number of the domain, for example "
            '`keras.Input((), dtype="int32")`.',
        ),
        (
            np.zeros((3, 2), "int32"),
            "`domain` must be an integer for each example, `[batch]` or "
            "`[batch, 1]`, or one integer. Received: shape (3, 2), dtype "
            "int32. Pass the number of the domain, for example "
            '`keras.Input((), dtype="int32")`.',
        ),
    ],
)
def test_bad_domains_are_refused(domain, message):
    layer = layers.DomainSpecificBatchNormalization(DOMAINS)
    x = np.zeros((3, 4, CHANNELS))
    assert refusal(layer.call, x, domain=domain) == message


def test_bad_domains_of_eager_tensors_are_refused():
    layer = layers.DomainSpecificBatchNormalization(DOMAINS)
    x = np.zeros((3, 4, CHANNELS))
    message = "`domain` must be from 0 to `domains - 1`, 3. Received: 7."
    assert message in refusal(layer, x, tf.constant([0, 7, 0]))


def test_number_of_domains_is_checked():
    assert refusal(layers.DomainSpecificBatchNormalization, 0) == (
        "`domains` must be a positive integer. Received: domains=0. Use 1 "
        "or more."
    )
