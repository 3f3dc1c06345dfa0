"""The public classes, by the arguments that they have."""

from keras_norms import layers
from tests.conformance.descriptors import public_layers

ALL = [
    getattr(layers, name)
    for name in public_layers()
    if name
    not in ("EnhancedAffine", "ThresholdedLinearUnit", "WeightStandardization")
]
PLAIN_BATCH = [k for k in ALL if issubclass(k, layers.BatchNormalization)]
DYNAMIC = [layers.DynamicNormalization]
UNIFIED = [layers.UnifiedBatchNormalization]
CONVOLVED = [*UNIFIED, layers.EnhancedAffine]
FILTER = [layers.FilterResponseNormalization]
BATCH = [
    layers.BatchGroupNormalization,
    layers.BatchInstanceNormalization,
    layers.InstanceEnhancementBatchNormalization,
    layers.RepresentativeBatchNormalization,
    layers.SwitchableNormalization,
    *DYNAMIC,
    *UNIFIED,
    *PLAIN_BATCH,
]
INSTANCE = [layers.InstanceNormalization]
NOT_SPECIAL = [kind for kind in ALL if kind not in FILTER + INSTANCE]
GROUPED = [layers.BatchGroupNormalization, layers.GroupNormalization]
CROSS = [layers.CrossReplicaBatchNormalization]
UNDECIDED = [kind for kind in BATCH if kind not in CROSS]
