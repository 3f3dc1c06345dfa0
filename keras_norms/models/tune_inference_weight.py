"""The share of an example's own statistics that serves a model best."""

import math

import keras
from keras import ops

from keras_norms import validation
from keras_norms.models import evaluation
from keras_norms.models.set_inference_weight import weighable
from keras_norms.models.traversal import forget_traces
from keras_norms.native import tracing

# From 0 up to where the paper's curves have turned; finer where they are
# steep.
WEIGHTS = (
    *(0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2),
    *(0.25, 0.3, 0.4, 0.5),
)


def tune_inference_weight(
    model,
    dataset,
    metric,
    weights=WEIGHTS,
    *,
    mode="auto",
    verbose=1,
    plot=None,
):
    """Sets `inference_weight` of a model's layers to what validates best.

    Inference example weighing gives an example's own moments a share alpha in
    those that normalize it (`BatchNormalization`). It takes no training, so
    the best share is found on validation data, with one forward pass of the
    data for each: one share for all layers with running statistics. It
    depends on the metric as on the model and the data.

    A model of Keras's batch norms has no such share: change its layers first
    (README), as for any model that was trained elsewhere. A share that is
    known is set by `set_inference_weight`.

    Accuracies of small sets are noisy: of 500 images with 10% errors, one
    standard error is 1.3 points, more than most curves rise. A loss tells
    shares apart with far fewer.

    Arguments:
        model: a built model. Its layers' `inference_weight` is set; the model
            need not be compiled, but what its `fit`, `evaluate` and `predict`
            have traced is traced anew.
        dataset: batches `(x, y)` or `(x, y, sample_weight)`, to be gone
            through once for each share: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, a list; or one pair of arrays, taken in
            batches of 32.
        metric: a `keras.metrics.Metric`, its name, a loss, or a function of
            `(y, prediction)` with a value an example. "accuracy" is that of
            labels or of one-hot classes as shapes say, as in `compile`. Where
            the model gives logits, give a loss with `from_logits=True`: names
            such as "sparse_categorical_crossentropy" mean probabilities.
        weights: the shares to try, from 0 to 1.
        mode: "max", "min", or "auto": "max" for metrics that Keras knows to
            rise, "min" for all others. Of equals, the smallest share is best.
        verbose: 0 for no progress bar.
        plot: the path of a figure to draw, which needs matplotlib, or None.

    Returns: a dictionary of the metric by share, in the order of `weights`.

    Raises: ValueError for weights outside [0, 1] or none, an unknown mode or
        metric, a model without a layer that has an `inference_weight`, a
        dataset without examples or that can be gone through only once. Then,
        and where anything else fails, the layers keep their shares.

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

    Source: Summers and Dinneen, Four Things Everyone Should Know to Improve
    Batch Normalization, ICLR 2020 (arXiv 1906.03548), section on inference
    example weighing.
    """
    weights = validation.inference_weights(weights)
    validation.one_of("mode", mode, "auto", "max", "min")
    layers = weighable(model)
    data = evaluation.batches(dataset)
    before = [layer.inference_weight for layer in layers]

    def predict(x, weight):
        for layer in layers:
            layer.inference_weight = weight
        return model(x, training=False)

    # The share as a tensor, so that one trace does for all.
    predict = tracing.compiled(predict)
    progress = keras.utils.Progbar(
        len(weights), verbose=verbose, unit_name="weight"
    )
    measure, curve, best = None, {}, before
    try:
        for weight in weights:
            share = ops.convert_to_tensor(weight, keras.backend.floatx())
            for batch in data():
                x, y, *sample_weight = evaluation.unpack(batch)
                prediction = predict(x, share)
                if measure is None:
                    measure = evaluation.metric_of(metric, y, prediction)
                    rises = evaluation.rises(measure, mode)
                measure.update_state(y, prediction, *sample_weight)
            if measure is None:
                raise ValueError(
                    "The dataset must have examples. Received: "
                    f"dataset={dataset!r} without any. Give validation data."
                )
            curve[weight] = evaluation.number(measure)
            measure.reset_state()
            progress.add(1, [(measure.name, curve[weight])])
        chosen = _best(curve, rises)
        best = [chosen] * len(layers)
    finally:
        for layer, value in zip(layers, best, strict=True):
            layer.inference_weight = value
        forget_traces(model)
    if plot is not None:
        _draw(curve, measure.name, chosen, plot)
    return curve


def _best(curve, rises):
    """The smallest of equals; what is not a number is the worst."""
    sign = 1 if rises else -1

    def rank(weight):
        value = sign * curve[weight]
        return (-math.inf if math.isnan(value) else value, -weight)

    return max(curve, key=rank)


def _draw(curve, name, best, path):
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    axes.plot(list(curve), list(curve.values()), marker="o", color="#0072b2")
    axes.axvline(best, color="#d55e00", label=f"best: {best:g}")
    axes.set_xlabel("share of an example's own statistics, alpha")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)
