"""Checks of arguments. An error states the rule, the value and the fix."""

from keras_norms.validation.activations import activation
from keras_norms.validation.backends import replicas
from keras_norms.validation.backends import synchronized
from keras_norms.validation.combinations import refuse_renorm_of_total
from keras_norms.validation.combinations import refuse_sequential_renorm
from keras_norms.validation.combinations import refuse_synchronized_blocks
from keras_norms.validation.hooks import UnavailableMoments
from keras_norms.validation.hooks import hooks
from keras_norms.validation.installations import installed
from keras_norms.validation.legacy import UNIFIED_OF_VERSION_0_1
from keras_norms.validation.legacy import addons_filter_response
from keras_norms.validation.legacy import addons_instance
from keras_norms.validation.legacy import contrib_instance
from keras_norms.validation.legacy import remove_disabled_renorm
from keras_norms.validation.legacy import remove_disabled_rms_scaling
from keras_norms.validation.legacy import remove_keras_2_arguments
from keras_norms.validation.legacy import unified_of_version_0_1
from keras_norms.validation.models import built_model
from keras_norms.validation.second_inputs import condition
from keras_norms.validation.second_inputs import condition_rows
from keras_norms.validation.second_inputs import conditioned
from keras_norms.validation.second_inputs import domain
from keras_norms.validation.second_inputs import projection
from keras_norms.validation.settings import boolean
from keras_norms.validation.settings import cosine
from keras_norms.validation.settings import examples
from keras_norms.validation.settings import fraction
from keras_norms.validation.settings import groups
from keras_norms.validation.settings import groups_of
from keras_norms.validation.settings import inference_weights
from keras_norms.validation.settings import multiple_of_row
from keras_norms.validation.settings import not_negative
from keras_norms.validation.settings import odd
from keras_norms.validation.settings import one_of
from keras_norms.validation.settings import positive_integer
from keras_norms.validation.settings import reduction
from keras_norms.validation.settings import renorm_clipping
from keras_norms.validation.settings import steps
from keras_norms.validation.settings import weight
from keras_norms.validation.tensors import axis
from keras_norms.validation.tensors import axis_or_axes
from keras_norms.validation.tensors import channels
from keras_norms.validation.tensors import has_channels
from keras_norms.validation.tensors import inputs
from keras_norms.validation.tensors import mask_shape
from keras_norms.validation.tensors import normalized_axes
from keras_norms.validation.tensors import real_dtype
from keras_norms.validation.tensors import spatial_rank
from keras_norms.validation.tensors import training

__all__ = [
    "UNIFIED_OF_VERSION_0_1",
    "UnavailableMoments",
    "activation",
    "addons_filter_response",
    "addons_instance",
    "axis",
    "axis_or_axes",
    "boolean",
    "built_model",
    "channels",
    "condition",
    "condition_rows",
    "conditioned",
    "contrib_instance",
    "cosine",
    "domain",
    "examples",
    "fraction",
    "groups",
    "groups_of",
    "has_channels",
    "hooks",
    "inference_weights",
    "inputs",
    "installed",
    "mask_shape",
    "multiple_of_row",
    "normalized_axes",
    "not_negative",
    "odd",
    "one_of",
    "positive_integer",
    "projection",
    "real_dtype",
    "reduction",
    "refuse_renorm_of_total",
    "refuse_sequential_renorm",
    "refuse_synchronized_blocks",
    "remove_disabled_renorm",
    "remove_disabled_rms_scaling",
    "remove_keras_2_arguments",
    "renorm_clipping",
    "replicas",
    "spatial_rank",
    "steps",
    "synchronized",
    "training",
    "unified_of_version_0_1",
    "weight",
]
