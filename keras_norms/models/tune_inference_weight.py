"""Finds the best weight of an example's own moments at inference."""

import math
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.models import evaluation
from keras_norms.models.set_inference_weight import (
    layers_with_inference_weight,
)
from keras_norms.models.traversal import forget_traces
from keras_norms.native import tracing
from keras_norms.types import Tensor

# The weights range from 0 to 0.5, in steps that grow with the weight.
WEIGHTS = (
    *(0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2),
    *(0.25, 0.3, 0.4, 0.5),
)


def tune_inference_weight(
    model: keras.Model,
    dataset: Any,
    metric: Any,
    weights: Iterable[float] = WEIGHTS,
    *,
    mode: str = "auto",
    verbose: int = 1,
    plot: Any = None,
) -> dict[float, float]:
    """Sets `inference_weight` of a model's layers to the best value.

    Inference example weighing mixes an example's own moments, with a weight
    alpha, into those that normalize it (`BatchNormalization`). It needs no
    training, so the best weight is found on validation data, with one forward
    pass over the data per weight. All layers with running statistics get the
    same weight. The best weight depends on the metric, the model and the data.

    The batch normalizations of Keras have no such weight. If the model has
    some, first convert them to layers of this package, as its README shows.
    Use `set_inference_weight` to set a weight that is known.

    Accuracies on small sets are noisy. With 500 images and 10% errors, one
    standard error is 1.3 points, which can exceed the differences between the
    weights. A loss distinguishes weights with far fewer images.

    Args:
        model: Built model. It need not be compiled. The functions that its
            `fit`, `evaluate` and `predict` have traced are traced again.
        dataset: Batches `(x, y)` or `(x, y, sample_weight)` that can be
            iterated once per weight: a `tf.data.Dataset`, a
            `keras.utils.PyDataset` or a list. Arrays `(x, y)` or `(x, y,
            sample_weight)` of all examples are split into batches of 32.
        metric: A `keras.metrics.Metric`, its name, a loss, or a function of
            `(y, prediction)` that returns one value per example. `"accuracy"`
            is the binary, sparse categorical or categorical accuracy,
            according to the shapes, as in `compile`. If the model returns
            logits, pass a loss with `from_logits=True`, because names such as
            `"sparse_categorical_crossentropy"` expect probabilities.
        weights: List of the weights to try, from 0 to 1. Defaults to
            `(0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15,
            0.2, 0.25, 0.3, 0.4, 0.5)`.
        mode: String, `"max"`, `"min"`, or `"auto"`, which means `"max"` for
            metrics that Keras knows to increase and `"min"` for all others.
            The smallest of several best weights is chosen. Defaults to
            `"auto"`.
        verbose: Integer, `0` for no progress bar. Defaults to `1`.
        plot: Path of a figure to draw, which needs matplotlib, or `None`.
            Defaults to `None`.

    Returns:
        Dictionary of the metric by weight, in the order of `weights`.

    Raises:
        ValueError: If `weights` is empty or a weight is not a number from 0 to
            1, if `mode` or `metric` is unknown, if the model has no layer with
            an `inference_weight`, or if the dataset has no examples or can be
            iterated only once. If an error occurs before the best weight is
            known, the layers keep their previous `inference_weight`. The
            figure is drawn afterwards.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((4,)),
    ...     keras_norms.layers.BatchNormalization(),
    ... ])
    >>> x = np.random.default_rng(0).normal(0, 5, (64, 4))
    >>> curve = keras_norms.models.tune_inference_weight(
    ...     model, (x, 0 * x), "mean_squared_error", [0.0, 0.1], verbose=0)
    >>> print(list(curve), model.layers[0].inference_weight)
    [0.0, 0.1] 0.1

    Reference:

    - Summers and Dinneen, Four Things Everyone Should Know to Improve Batch
      Normalization, 2020, [arXiv 1906.03548](https://arxiv.org/abs/1906.03548),
      section on inference example weighing.
    """
    candidates = validation.inference_weights(weights)
    validation.one_of("mode", mode, "auto", "max", "min")
    layers = layers_with_inference_weight(model)
    data = evaluation.batches(dataset)
    previous_weights = [layer.inference_weight for layer in layers]

    def predict(x: Tensor, weight: Tensor) -> Tensor:
        for layer in layers:
            layer.inference_weight = weight
        return model(x, training=False)

    # The weight is a tensor, so that one trace serves all weights.
    compiled = tracing.compiled(predict)
    progress = keras.utils.Progbar(
        len(candidates), verbose=verbose, unit_name="weight"
    )
    keras_metric: Any = None
    curve: dict[float, float] = {}
    new_weights = previous_weights
    try:
        for weight in candidates:
            tensor = ops.convert_to_tensor(weight, keras.backend.floatx())
            for batch in data():
                x, y, *sample_weight = evaluation.unpack(batch)
                prediction = compiled(x, tensor)
                if keras_metric is None:
                    keras_metric = evaluation.metric_of(metric, y, prediction)
                    rises = evaluation.rises(keras_metric, mode)
                keras_metric.update_state(y, prediction, *sample_weight)
            if keras_metric is None:
                raise ValueError(
                    "The dataset must contain examples. Received: "
                    f"dataset={dataset!r}, which contains none. Pass "
                    "validation data."
                )
            curve[weight] = evaluation.number(keras_metric)
            keras_metric.reset_state()
            progress.add(1, [(keras_metric.name, curve[weight])])
        best_weight = _best(curve, rises)
        new_weights = [best_weight] * len(layers)
    finally:
        for layer, value in zip(layers, new_weights, strict=True):
            layer.inference_weight = value
        forget_traces(model)
    if plot is not None:
        _draw(curve, keras_metric.name, best_weight, plot)
    return curve


def _best(curve: dict[float, float], rises: bool) -> float:
    """The best weight, the smallest of equals. NaN is the worst value."""
    sign = 1 if rises else -1

    def rank(weight: float) -> tuple[float, float]:
        value = sign * curve[weight]
        return (-math.inf if math.isnan(value) else value, -weight)

    return max(curve, key=rank)


def _draw(
    curve: dict[float, float], name: str, best_weight: float, path: Any
) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    axes.plot(list(curve), list(curve.values()), marker="o", color="#0072b2")
    label = f"best: {best_weight:g}"
    axes.axvline(best_weight, color="#d55e00", label=label)
    axes.set_xlabel("weight of an example's own moments, alpha")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)
