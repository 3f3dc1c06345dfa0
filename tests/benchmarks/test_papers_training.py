"""The papers' test bed: schedules, decay, and what methods have in common."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.papers import configurations as names
from benchmarks.papers import experiments
from benchmarks.papers import training

RANDOM = np.random.default_rng(0)
ARRAYS = {
    split: (
        RANDOM.normal(size=(40, 8, 8, 1)).astype("float32"),
        RANDOM.integers(0, 3, 40),
    )
    for split in ("train", "validation", "test")
}


def trainer_of(name, steps=20):
    configuration = experiments.configurations()[name]
    return training.Trainer(configuration, ARRAYS, 3, steps)


def test_learning_rates_rise_and_fall_to_0():
    schedule = training.WarmupCosine(200)
    schedule.peak.assign(0.5)
    rates = schedule(tf.range(201)).numpy()
    assert schedule.warmup == 40
    np.testing.assert_allclose(rates[39:41], 0.5)
    np.testing.assert_allclose(rates[19], 0.25)
    np.testing.assert_allclose(rates[120], 0.25, rtol=1e-5)
    assert (np.diff(rates[40:]) < 0).all()
    assert rates[199] < 1e-4
    assert rates[200] == 0


@pytest.mark.parametrize("decays_affine", [True, False])
def test_weights_without_gradients_decay_by_the_dose(decays_affine):
    trainer = trainer_of(names.decay(2.0, decays_affine), steps=5)
    shares = trainer.schedule.share(tf.range(10)).numpy()
    decayed = np.prod(1 - 2.0 * shares / shares.sum())
    for rate in (0.03, 0.3):
        trainer._train = lambda order: None
        trainer.train(rate, seed=0)
        variables = trainer.model.trainable_variables
        before = [variable.numpy() for variable in variables]
        zeros = [tf.zeros_like(variable) for variable in variables]
        for _ in range(trainer.steps):
            trainer.optimizer.apply(zeros)
        for variable, start in zip(variables, before, strict=True):
            affine = variable.name in ("gamma", "beta")
            share = 1.0 if affine and not decays_affine else decayed
            np.testing.assert_allclose(variable, share * start, rtol=1e-4)


def test_the_dose_is_an_exponent():
    shares = training.WarmupCosine(1200).share(tf.range(1200)).numpy()
    decayed = np.prod(1 - 2.0 * shares / shares.sum())
    np.testing.assert_allclose(decayed, np.exp(-2.0), rtol=0.01)


def test_methods_start_with_the_same_kernels_and_see_the_same_images():
    first = trainer_of(names.in_batch(names.BATCH_NORM))
    second = trainer_of(names.in_batch(names.DN_B))
    kernels = []
    for trainer in (first, second):
        training.draw_weights(trainer.model, seed=5)
        convolutions = [
            layer.kernel.numpy()
            for layer in trainer.model.layers
            if "conv2d" in layer.name
        ]
        kernels.append(convolutions)
    assert len(kernels[0]) == len(kernels[1]) == 5
    for one, other in zip(*kernels, strict=True):
        np.testing.assert_array_equal(one, other)
    order = first._order(seed=5)
    np.testing.assert_array_equal(order, second._order(seed=5))
    assert order.shape == (20, 32)
    # Every image is in every epoch once.
    epoch = order.ravel()[:40]
    np.testing.assert_array_equal(np.sort(epoch), np.arange(40))
    assert (order != first._order(seed=6)).any()


@pytest.mark.parametrize(
    ("name", "momentum"),
    [
        (names.in_batch(names.BATCH_NORM), 0.9),
        (names.ghost(4), 0.9),
        (names.small(names.BATCH_NORM), 0.9 ** (1 / 16)),
    ],
)
def test_running_statistics_are_those_of_as_many_images(name, momentum):
    configuration = experiments.configurations()[name]
    model = training.model_of(configuration, (8, 8, 1), 3)
    found = {
        layer.momentum for layer in model.layers if hasattr(layer, "momentum")
    }
    assert found == {momentum}


def test_early_errors_are_those_of_a_third_of_the_steps():
    trainer = trainer_of(names.in_batch(names.BATCH_NORM), steps=9)
    steps, total = [], 0

    def train(order):
        nonlocal total
        total += len(order)

    def evaluate(split):
        steps.append((split, total))
        return np.array([True]), np.array([1.0])

    trainer._train, trainer.evaluate = train, evaluate
    trainer.train(0.1, seed=0)
    assert steps == [("test", 3)]
    assert trainer.early_wrong.all()
    assert total == 9


@pytest.mark.slow
def test_training_and_example_weighing():
    trainer = trainer_of(names.ghost(4), steps=30)
    trainer.train(0.1, seed=0)
    wrong, losses = trainer.evaluate("train")
    assert wrong.mean() < 0.4
    assert wrong.shape == losses.shape == (40,)
    _, weighted = trainer.evaluate("train", 0.3)
    assert (weighted != losses).any()
    np.testing.assert_array_equal(trainer.evaluate("train")[1], losses)
    trainer.train(0.1, seed=0)
    np.testing.assert_allclose(trainer.evaluate("train")[1], losses, rtol=1e-3)
