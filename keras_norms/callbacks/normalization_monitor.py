import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_norms import validation
from keras_norms.callbacks import records
from keras_norms.callbacks import summaries
from keras_norms.callbacks.first_batch import first_batch
from keras_norms.callbacks.measurements import Observer
from keras_norms.callbacks.records import NormalizationRecord
from keras_norms.layers.enhanced_affine import EnhancedAffine
from keras_norms.models.traversal import NORMALIZATIONS
from keras_norms.models.traversal import layers_by_path
from keras_norms.native import tracing

# With fewer independent values, a mean is off by a quarter of the standard
# deviation.
_ENOUGH = 16

_TOO_SMALL = (
    "The batches are too small for the batch statistics of {} of {} layers. "
    "Those of {!r} rest on {:.1f} independent values per channel, because the "
    "positions of an example are alike. With fewer than {}, the mean of a "
    "batch is off by more than a quarter of the standard deviation. Use "
    "larger batches, `CrossReplicaBatchNormalization`, or a layer that "
    "normalizes each example, such as `GroupNormalization`; see "
    "`keras_norms.models.convert_normalization`."
)


class NormalizationMonitor(keras.callbacks.Callback):
    """Measures all normalization layers of a model after each epoch.

    One batch passes through the model in training mode, without an effect on
    its state. For each layer, with the mean and the variance of its inputs
    over the batch, over all channels c:

    ```
    mean_drift = rms((mean - moving_mean) / sqrt(moving_variance + epsilon))
    variance_drift = rms(log((variance + epsilon)
                             / (moving_variance + epsilon)))
    similarity = mean cosine between the inputs of two examples
    dead_channels = share of the channels whose output is constant or never
                    positive
    replica_disagreement = rms(stddev over replicas of mean / sqrt(variance))
    independent_values = size of an independent sample with as exact a mean
                       = examples / mean(between / (within + between))
    ```

    Here, `between` is the unbiased variance of the examples' means, and
    `within` the mean of their variances.

    `rms` is the root of the mean of squares. The first two and the last two
    are measures of batch normalizations, and NaN for other layers. The last
    two are NaN for frozen layers, too. The measures of
    layers with calibrated statistics, such as representative batch norm,
    compare what their running statistics approach. `similarity` near 1 means
    that the examples of the batch are almost alike (feature condensation).
    Replicas agree if the layer is synchronized. `independent_values` counts
    the examples of one replica, or of one ghost batch, and lies between their
    number and that of their positions. Constant channels are left out. If it
    is below 16 for a layer, the monitor warns once.

    Layers of nested models and of wrappers are included, and those of Keras.
    Of several calls of a layer, the first one is measured. Layers that are
    only called inside loops are left out.

    Inference: Measures are taken in training mode.

    Replicas: One device measures the batch of all replicas, and divides it
    into as many parts as there are replicas.

    Args:
        data: Inputs as `fit` takes them: `x` or `(x, y)`, where `x` is an
            array or, for several inputs, a list or a dictionary of arrays. Or
            a `tf.data.Dataset` or another iterable of batches `(x, ...)`,
            whose first batch is read.
        batch_size: Integer, how many examples of arrays are read. It must be
            the `batch_size` of `fit`, because statistics depend on it.
            Defaults to `32`, as in `fit`.
        frequency: Integer, the number of epochs between measurements. One of
            them takes about half the time of a training step, so the default
            takes 0.5% of epochs of 100 steps. The first one also traces the
            model. Defaults to `1`.
        csv_path: Path of a csv file with all measurements, or `None`. Defaults
            to `None`.
        plot_path: Path of a PNG figure that is drawn at the end of training,
            layers against epochs, or `None`. It needs matplotlib. Defaults to
            `None`.
        log_dir: Folder of a log for TensorBoard, or `None`. It needs
            TensorBoard and TensorFlow. Defaults to `None`.

    Attributes:
        records: List of `NormalizationRecord`, one per layer and measured
            epoch, with the fields `epoch`, `path` and the measures.

    Raises:
        ValueError: If the data has no example, if `batch_size` or `frequency`
            is below 1, or if the model has no normalization layer.
        ImportError: If a package that writes the outputs is not installed.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((8,)),
    ...     keras_norms.layers.BatchNormalization(name="norm"),
    ... ])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 8))
    >>> monitor = keras_norms.callbacks.NormalizationMonitor(x)
    >>> history = model.fit(x, x, callbacks=[monitor], verbose=0)
    >>> [record] = monitor.records
    >>> print(record.epoch, record.path, record.dead_channels)
    0 norm 0.0

    Reference:

    - Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021,
      [arXiv 2105.07576](https://arxiv.org/abs/2105.07576), section 3, for the
      drift. Wang et al., Unified Batch Normalization, 2023,
      [arXiv 2311.15993](https://arxiv.org/abs/2311.15993), section 3.1, for
      the similarity.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int = 32,
        frequency: int = 1,
        csv_path: Any = None,
        plot_path: Any = None,
        log_dir: Any = None,
    ) -> None:
        super().__init__()
        validation.positive_integer("batch_size", batch_size)
        self.frequency = validation.positive_integer("frequency", frequency)
        if plot_path is not None:
            validation.installed("plot_path", "matplotlib", "matplotlib")
        if log_dir is not None:
            validation.installed("log_dir", "tensorboard", "TensorBoard")
        self._batch = first_batch(data, batch_size)
        self.csv_path, self.plot_path = csv_path, plot_path
        self.log_dir = log_dir
        self.records: list[NormalizationRecord] = []
        self._warned = False
        self._observer: Observer | None = None
        self._measure: Any = None
        self._writer: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        # The first step builds a subclassed model.
        if self.model.built:
            self._observe()

    def _observe(self) -> None:
        layers = [
            (path, layer)
            for path, layer in layers_by_path(self.model)
            if isinstance(layer, NORMALIZATIONS)
            and not isinstance(layer, EnhancedAffine)
        ]
        if not layers:
            raise ValueError(
                "The model must contain a normalization layer. Received: "
                f"{self.model.name!r}, which contains none. Remove the "
                "callback."
            )
        strategy = getattr(self.model, "distribute_strategy", None)
        replicas = getattr(strategy, "num_replicas_in_sync", 1)
        observer = Observer(layers, replicas)
        self._observer = observer
        model = self.model
        self._measure = tracing.compiled(lambda x: observer(model, x))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch % self.frequency:
            return
        if self._observer is None:
            self._observe()
        assert self._observer is not None
        values = ops.convert_to_numpy(self._measure(self._batch))
        new = [
            NormalizationRecord(epoch, path, *map(float, row))
            for path, row in zip(self._observer.paths, values, strict=True)
        ]
        self.records += new
        if self.csv_path is not None:
            records.write_csv(self.records, self.csv_path)
        if self.log_dir is not None:
            self._summarize(new)
        self._warn_of_small_batches(new)

    def on_train_end(self, logs: Any = None) -> None:
        # The functions hold the graph of the model.
        self._measure = self._observer = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self.plot_path is not None and self.records:
            records.draw_heat_map(self.records, self.plot_path)

    def _summarize(self, new: list[NormalizationRecord]) -> None:
        if self._writer is None:
            self._writer = summaries.writer(self.log_dir)
        summaries.write(new, self._writer)

    def _warn_of_small_batches(self, new: list[NormalizationRecord]) -> None:
        small = [r for r in new if r.independent_values < _ENOUGH]
        if self._warned or not small:
            return
        self._warned = True
        count = sum(not np.isnan(r.independent_values) for r in new)
        worst = min(small, key=lambda record: record.independent_values)
        message = _TOO_SMALL.format(
            len(small),
            count,
            worst.path,
            worst.independent_values,
            _ENOUGH,
        )
        warnings.warn(message, stacklevel=2)
