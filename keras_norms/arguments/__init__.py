"""What arguments must be: the rule, what came, and what to do about it."""

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
from keras_norms.arguments.settings import not_of_keras_only
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
    "axis",
    "boolean",
    "channels",
    "cosine",
    "covers_channels",
    "examples",
    "fitting",
    "fraction",
    "groups",
    "groups_of",
    "inference_weights",
    "inputs",
    "named_parameters",
    "not_negative",
    "not_of_keras_only",
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
