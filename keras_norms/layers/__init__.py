"""Normalization layers, and layers that are used with them."""

from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.layers.batch_group_normalization import (
    BatchGroupNormalization,
)
from keras_norms.layers.batch_instance_normalization import (
    BatchInstanceNormalization,
)
from keras_norms.layers.batch_normalization import BatchNormalization
from keras_norms.layers.conditional_normalization import (
    ConditionalNormalization,
)
from keras_norms.layers.cross_replica_batch_normalization import (
    CrossReplicaBatchNormalization,
)
from keras_norms.layers.domain_specific_batch_normalization import (
    DomainSpecificBatchNormalization,
)
from keras_norms.layers.dynamic_normalization import DynamicNormalization
from keras_norms.layers.enhanced_affine import EnhancedAffine
from keras_norms.layers.filter_response_normalization import (
    FilterResponseNormalization,
)
from keras_norms.layers.ghost_batch_normalization import (
    GhostBatchNormalization,
)
from keras_norms.layers.group_normalization import GroupNormalization
from keras_norms.layers.instance_enhancement_batch_normalization import (
    InstanceEnhancementBatchNormalization,
)
from keras_norms.layers.instance_normalization import InstanceNormalization
from keras_norms.layers.layer_normalization import LayerNormalization
from keras_norms.layers.representative_batch_normalization import (
    RepresentativeBatchNormalization,
)
from keras_norms.layers.switchable_normalization import SwitchableNormalization
from keras_norms.layers.thresholded_linear_unit import ThresholdedLinearUnit
from keras_norms.layers.unified_batch_normalization import (
    UnifiedBatchNormalization,
)
from keras_norms.layers.weight_standardization import WeightStandardization

__all__ = [
    "BaseBatchNormalization",
    "BaseNormalization",
    "BatchGroupNormalization",
    "BatchInstanceNormalization",
    "BatchNormalization",
    "ConditionalNormalization",
    "CrossReplicaBatchNormalization",
    "DomainSpecificBatchNormalization",
    "DynamicNormalization",
    "EnhancedAffine",
    "FilterResponseNormalization",
    "GhostBatchNormalization",
    "GroupNormalization",
    "InstanceEnhancementBatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "RepresentativeBatchNormalization",
    "SwitchableNormalization",
    "ThresholdedLinearUnit",
    "UnifiedBatchNormalization",
    "WeightStandardization",
]
