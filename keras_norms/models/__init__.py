"""What users do to whole models."""

from keras_norms.models.exclude_from_weight_decay import (
    exclude_from_weight_decay,
)
from keras_norms.models.tune_inference_weight import tune_inference_weight

__all__ = ["exclude_from_weight_decay", "tune_inference_weight"]
