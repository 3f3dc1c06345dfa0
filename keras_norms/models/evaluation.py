"""Validation data and metrics, in all forms that Keras accepts."""

import functools
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import keras

from keras_norms.types import Tensor

_BATCH = 32


def batches(dataset: Any) -> Callable[[], Iterable[Any]]:
    """A function that starts an iteration over the batches."""
    if isinstance(dataset, keras.utils.PyDataset):
        return lambda: (dataset[k] for k in range(dataset.num_batches))
    if isinstance(dataset, tuple) and not isinstance(dataset[0], tuple):
        arrays = tuple(array for array in dataset if array is not None)
        count = len(keras.tree.flatten(arrays)[0])
        return lambda: map(
            functools.partial(_rows_from, arrays), range(0, count, _BATCH)
        )
    if iter(dataset) is dataset:
        raise ValueError(
            "The dataset must be iterable once per weight. Received: "
            f"{type(dataset).__name__}, which can be iterated only once. "
            "Pass a `tf.data.Dataset`, a list of batches, or arrays `(x, "
            "y)`."
        )
    return lambda: dataset


def inputs(dataset: Any) -> Iterable[Any]:
    """The inputs of a model, batch by batch, without labels."""
    if isinstance(dataset, tuple) and hasattr(dataset[0], "shape"):
        dataset = dataset[0]
    if isinstance(dataset, keras.utils.PyDataset) or hasattr(dataset, "shape"):
        dataset = batches(
            (dataset,) if hasattr(dataset, "shape") else dataset
        )()
    for batch in dataset:
        yield batch[0] if isinstance(batch, tuple) else batch


def _rows_from(arrays: Any, start: int) -> Any:
    rows = slice(start, start + _BATCH)
    return keras.tree.map_structure(lambda array: array[rows], arrays)


def unpack(batch: Any) -> Sequence[Any]:
    """x, y and the sample weights of a batch."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise ValueError(
            "The dataset must yield batches `(x, y)` or `(x, y, "
            f"sample_weight)`. Received: {type(batch).__name__}. Include the "
            "labels."
        )
    return batch


def number(metric: keras.metrics.Metric) -> float:
    """The current value of a metric."""
    result = metric.result()
    if len(getattr(result, "shape", ())):
        raise ValueError(
            f"The metric must be a scalar. Received: {type(metric).__name__} "
            f"with a result of shape {tuple(result.shape)}. Average it, or "
            "pass a function."
        )
    return float(result)


def metric_of(metric: Any, y: Tensor, prediction: Any) -> keras.metrics.Metric:
    """A metric of Keras from a name, a loss or a function."""
    of_function = callable(metric) and not isinstance(
        metric, (keras.metrics.Metric, keras.losses.Loss)
    )
    if isinstance(prediction, (dict, list, tuple)) and not of_function:
        raise ValueError(
            "A metric of Keras takes one prediction, and the model has "
            f"several outputs. Received: {len(prediction)} outputs. Pass a "
            "function of `(y, prediction)` that takes all of them and "
            "returns one value per example."
        )
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        if prediction.shape[-1] == 1:
            return keras.metrics.BinaryAccuracy(name=metric)
        if len(y.shape) < len(prediction.shape) or y.shape[-1] == 1:
            return keras.metrics.SparseCategoricalAccuracy(name=metric)
        return keras.metrics.CategoricalAccuracy(name=metric)
    if isinstance(metric, str):
        metric = keras.metrics.get(metric)
    if isinstance(metric, keras.metrics.Metric):
        metric.reset_state()
        return metric
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    if isinstance(metric, keras.losses.Loss):
        # A call of the loss reduces a batch to one number, and the mean of
        # these numbers would ignore the sizes of the batches.
        metric = metric.call
    return keras.metrics.MeanMetricWrapper(metric, name=name or "metric")


def rises(metric: keras.metrics.Metric, mode: str) -> bool:
    """Whether a larger value of a metric is better."""
    if mode != "auto":
        return mode == "max"
    # Keras's callbacks read the same attribute.
    return getattr(metric, "_direction", None) == "up"
