"""Writes records for TensorBoard."""

from collections.abc import Sequence
from typing import Any

from keras_norms.callbacks.records import MEASURES
from keras_norms.callbacks.records import NormalizationRecord


def writer(folder: Any) -> Any:
    """A writer of logs in a folder. The caller closes it."""
    import tensorflow as tf

    return tf.summary.create_file_writer(str(folder))


def write(records: Sequence[NormalizationRecord], writer: Any) -> None:
    """Writes a scalar for each record and measure."""
    import tensorflow as tf

    with writer.as_default():
        for record in records:
            for name in MEASURES:
                tf.summary.scalar(
                    f"normalization_{name}/{record.path}",
                    getattr(record, name),
                    step=record.epoch,
                )
    writer.flush()
