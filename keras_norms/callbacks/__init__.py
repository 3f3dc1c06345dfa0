"""Callbacks for `fit`."""

from keras_norms.callbacks.normalization_monitor import NormalizationMonitor
from keras_norms.callbacks.records import NormalizationRecord

__all__ = ["NormalizationMonitor", "NormalizationRecord"]
