"""The batch that `NormalizationMonitor` measures."""

from typing import Any

import keras

from keras_norms.models import evaluation


def first_batch(data: Any, batch_size: int) -> Any:
    """The first inputs of a model in arrays or in a dataset.

    Args:
        data: arrays as `fit` takes them, `x` or `(x, y, ...)`, where x is an
            array or a structure of arrays, or an iterable of batches.
        batch_size: how many examples of arrays are taken.
    """
    inputs = data[0] if isinstance(data, tuple) and data else data
    has_batches = isinstance(inputs, list) and isinstance(
        next(iter(inputs), None), tuple
    )
    arrays = [] if has_batches else keras.tree.flatten(inputs)
    if arrays and all(map(_is_array, arrays)):
        batch = keras.tree.map_structure(lambda a: a[:batch_size], inputs)
    else:
        batch = next(iter(evaluation.inputs(_iterable(data))), None)
    examples = [a.shape[0] for a in keras.tree.flatten(batch) if _is_array(a)]
    if not examples or not all(examples):
        raise ValueError(
            "`data` must be arrays, or an iterable of batches, with an "
            f"example. Received: {type(data).__name__} without one. Pass "
            "inputs as `fit` takes them."
        )
    return batch


def _is_array(value: Any) -> bool:
    return len(getattr(value, "shape", ())) > 0


def _iterable(data: Any) -> Any:
    is_data = hasattr(data, "__iter__") or isinstance(
        data, keras.utils.PyDataset
    )
    return data if is_data and not isinstance(data, (str, dict)) else []
