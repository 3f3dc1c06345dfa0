"""What arguments must be: the rule, what came, and what to do about it."""

from keras_norms.arguments.activations import activation
from keras_norms.arguments.earlier import addons_filter_response
from keras_norms.arguments.earlier import addons_instance
from keras_norms.arguments.earlier import contrib_instance
from keras_norms.arguments.earlier import keras_2_batch
from keras_norms.arguments.hooks import named_parameters
from keras_norms.arguments.settings import Unread
from keras_norms.arguments.settings import boolean
from keras_norms.arguments.settings import cosine
from keras_norms.arguments.settings import examples
from keras_norms.arguments.settings import fraction
from keras_norms.arguments.settings import groups
from keras_norms.arguments.settings import groups_of
from keras_norms.arguments.settings import inference_weights
from keras_norms.arguments.settings import not_negative
from keras_norms.arguments.settings import one_of
from keras_norms.arguments.settings import one_of_blocks_and_replicas
from keras_norms.arguments.settings import one_of_renorm_and_ghost_steps
from keras_norms.arguments.settings import reduction
from keras_norms.arguments.settings import renorm_clipping
from keras_norms.arguments.settings import replicas
from keras_norms.arguments.settings import steps
from keras_norms.arguments.settings import weight
from keras_norms.arguments.tensors import axis
from keras_norms.arguments.tensors import channels
from keras_norms.arguments.tensors import covers_channels
from keras_norms.arguments.tensors import fitting
from keras_norms.arguments.tensors import inputs
from keras_norms.arguments.tensors import real
from keras_norms.arguments.tensors import training

__all__ = [
    "Unread",
    "activation",
    "addons_filter_response",
    "addons_instance",
    "axis",
    "boolean",
    "channels",
    "contrib_instance",
    "cosine",
    "covers_channels",
    "examples",
    "fitting",
    "fraction",
    "groups",
    "groups_of",
    "inference_weights",
    "inputs",
    "keras_2_batch",
    "named_parameters",
    "not_negative",
    "one_of",
    "one_of_blocks_and_replicas",
    "one_of_renorm_and_ghost_steps",
    "real",
    "reduction",
    "renorm_clipping",
    "replicas",
    "steps",
    "training",
    "weight",
]
