"""Functions that change the layers of whole models."""

from keras_norms.models.exclude_from_weight_decay import (
    exclude_from_weight_decay,
)
from keras_norms.models.set_inference_weight import set_inference_weight
from keras_norms.models.tune_inference_weight import tune_inference_weight

__all__ = [
    "exclude_from_weight_decay",
    "set_inference_weight",
    "tune_inference_weight",
]
