"""Validation data and metrics, from the many things that stand for them."""

import functools

import keras

_BATCH = 32


def batches(dataset):
    """A function that starts going through the data."""
    if isinstance(dataset, keras.utils.PyDataset):
        return lambda: (dataset[k] for k in range(dataset.num_batches))
    if isinstance(dataset, tuple) and not isinstance(dataset[0], tuple):
        arrays = tuple(part for part in dataset if part is not None)
        count = len(keras.tree.flatten(arrays)[0])
        return lambda: map(
            functools.partial(_rows_from, arrays), range(0, count, _BATCH)
        )
    if iter(dataset) is dataset:
        raise ValueError(
            "The dataset is gone through once for each weight. Received: "
            f"{type(dataset).__name__}, which ends after the first. Give a "
            "`tf.data.Dataset`, a list of batches, or arrays `(x, y)`."
        )
    return lambda: dataset


def _rows_from(arrays, start):
    rows = slice(start, start + _BATCH)
    return keras.tree.map_structure(lambda array: array[rows], arrays)


def unpack(batch):
    """x, y and the sample weights of a batch."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise ValueError(
            "The dataset must give batches `(x, y)`, or `(x, y, "
            f"sample_weight)`. Received: {type(batch).__name__}. Give the "
            "labels too."
        )
    return batch


def number(metric):
    """What a metric is now."""
    result = metric.result()
    if len(getattr(result, "shape", ())):
        raise ValueError(
            "The metric must be one number. Received: "
            f"{type(metric).__name__} with a result of shape "
            f"{tuple(result.shape)}. Have it averaged, or give a function."
        )
    return float(result)


def metric_of(metric, y, prediction):
    """A metric of Keras from what stands for one."""
    of_function = callable(metric) and not isinstance(
        metric, (keras.metrics.Metric, keras.losses.Loss)
    )
    if isinstance(prediction, (dict, list, tuple)) and not of_function:
        raise ValueError(
            "A model of several outputs has no one prediction for a metric of "
            f"Keras. Received: {len(prediction)} outputs. Give a function of "
            "`(y, prediction)`, with a value an example, that takes them all."
        )
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        kinds = keras.metrics
        if prediction.shape[-1] == 1:
            return kinds.BinaryAccuracy(name=metric)
        if len(y.shape) < len(prediction.shape) or y.shape[-1] == 1:
            return kinds.SparseCategoricalAccuracy(name=metric)
        return kinds.CategoricalAccuracy(name=metric)
    if isinstance(metric, str):
        metric = keras.metrics.get(metric)
    if isinstance(metric, keras.metrics.Metric):
        metric.reset_state()
        return metric
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    if isinstance(metric, keras.losses.Loss):
        # Called, it reduces a batch to one number, whatever its size.
        metric = metric.call
    return keras.metrics.MeanMetricWrapper(metric, name=name or "metric")


def rises(metric, mode):
    """Whether more of a metric is better."""
    if mode != "auto":
        return mode == "max"
    # As Keras's own callbacks tell.
    return getattr(metric, "_direction", None) == "up"
