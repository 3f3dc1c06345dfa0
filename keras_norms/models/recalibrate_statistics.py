"""Computes the running statistics of a model from a whole dataset."""

import itertools
from contextlib import ExitStack
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.models import evaluation
from keras_norms.models.cumulative_statistics import accumulating
from keras_norms.models.traversal import forget_traces
from keras_norms.models.traversal import layers_within
from keras_norms.native import tracing


def recalibrate_statistics(
    model: keras.Model,
    dataset: Any,
    steps: int | None = None,
    verbose: str | int = "auto",
) -> list[keras.layers.Layer]:
    """Replaces running statistics by the moments of a whole dataset.

    Training averages the moments of the last batches, with weights from
    before the latest steps, and only the variance within batches. This
    function passes a dataset through the final model, and sets

    ```
    moving_mean = mean of all inputs of the layer
    moving_variance = mean of (input - moving_mean)^2
    ```

    It is also called precise batch normalization. With data of another domain,
    it adapts a model to that domain, without labels and without training.
    Each batch is normalized with its own moments, as in training, so use
    batches of about the size of training. Other layers, such as dropout,
    compute as at inference. Gamma, beta and all other weights do not change.
    Batch normalizations of Keras are included.

    Moments are merged in float64, so batches may have unequal sizes, and the
    result does not depend on their order. Masked positions do not count. In a
    model of `MirroredStrategy`, one device computes, and all replicas get the
    result.

    Args:
        model: Built model.
        dataset: `tf.data.Dataset`, `keras.utils.PyDataset`, a list or another
            iterable of batches, each the inputs or a tuple `(x, ...)` whose
            first element is the inputs. Or arrays `x` or `(x, y)`, which are
            read in batches of 32.
        steps: Integer, how many batches are read, or `None` for all. Defaults
            to `None`.
        verbose: `0` or `1`, whether there is a progress bar. `"auto"` is `1`.
            Defaults to `"auto"`.

    Returns:
        List of the layers whose statistics were replaced.

    Raises:
        ValueError: If `model` is not a built model or has no running
            statistics, if `steps` is below 1, if the dataset is empty or has
            fewer batches than `steps`, or if the inputs of a layer are not
            finite. The model does not change then.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((1,)), keras_norms.layers.BatchNormalization()])
    >>> batches = [np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])]
    >>> layers = keras_norms.models.recalibrate_statistics(
    ...     model, batches, verbose=0)
    >>> print(layers[0].moving_mean.numpy(), layers[0].moving_variance.numpy())
    [4.] [5.]

    Reference:

    - Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021,
      [arXiv 2105.07576](https://arxiv.org/abs/2105.07576), section 3.
    """
    layers = _batch_normalizations(model)
    if steps is not None:
        validation.examples("steps", steps)
    previous = [
        (variable, ops.convert_to_numpy(variable))
        for layer in layers
        for variable in (layer.moving_mean, layer.moving_variance)
    ]
    try:
        _accumulate(model, layers, dataset, steps, verbose)
        for layer in layers:
            if getattr(layer, "renorm", False):
                _restart_renorm(layer)
    except BaseException:
        for variable, value in previous:
            variable.assign(value)
        raise
    finally:
        forget_traces(model)
    return layers


def _batch_normalizations(model: Any) -> list[Any]:
    validation.built_model(model)
    layers = [
        layer
        for layer in layers_within(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if not layers:
        raise ValueError(
            "The model must contain a batch normalization, which has running "
            f"statistics. Received: {model.name!r}, which contains none. Pass "
            "the model that contains them."
        )
    return layers


def _accumulate(
    model: keras.Model,
    layers: list[Any],
    dataset: Any,
    steps: Any,
    verbose: Any,
) -> None:
    with ExitStack() as stack:
        counts = [stack.enter_context(accumulating(layer)) for layer in layers]
        run = tracing.compiled(lambda x: model(x, training=False))
        verbose = 1 if verbose == "auto" else verbose
        progress = keras.utils.Progbar(steps, verbose=verbose)
        done = 0
        for x in itertools.islice(evaluation.inputs(dataset), steps):
            run(x)
            done += 1
            progress.update(done)
        if not done or (steps and done < steps):
            raise ValueError(
                "The dataset must have a batch, and `steps` of them if "
                f"`steps` is given. Received: {done} batches, steps={steps}. "
                "Pass more data, or fewer steps."
            )
        for layer, count in zip(layers, counts, strict=True):
            if not count.finite.numpy():
                raise ValueError(
                    "The inputs of each batch normalization must be finite. "
                    "Received: infinite or undefined inputs of "
                    f"{layer.name!r}. Remove such examples."
                )


def _restart_renorm(layer: Any) -> None:
    """Sets the other moving averages of batch renormalization."""
    stddev = ops.sqrt(layer.moving_variance + layer.epsilon)
    layer.moving_stddev.assign(stddev)
    layer.renorm_stddev.assign(stddev)
    layer.renorm_mean.assign(layer.moving_mean)
