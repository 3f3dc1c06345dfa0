"""Functions that change the layers of whole models."""

from keras_norms.models.convert_normalization import convert_normalization
from keras_norms.models.describe_normalization import describe_normalization
from keras_norms.models.exclude_from_weight_decay import (
    exclude_from_weight_decay,
)
from keras_norms.models.fold_batch_normalization import (
    fold_batch_normalization,
)
from keras_norms.models.freeze_normalization import freeze_normalization
from keras_norms.models.freeze_normalization import unfreeze_normalization
from keras_norms.models.recalibrate_statistics import recalibrate_statistics
from keras_norms.models.set_inference_weight import set_inference_weight
from keras_norms.models.tune_inference_weight import tune_inference_weight

__all__ = [
    "convert_normalization",
    "describe_normalization",
    "exclude_from_weight_decay",
    "fold_batch_normalization",
    "freeze_normalization",
    "recalibrate_statistics",
    "set_inference_weight",
    "tune_inference_weight",
    "unfreeze_normalization",
]
