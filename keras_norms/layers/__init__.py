"""Normalization layers."""

from keras_norms.layers.batch_group_normalization import (
    BatchGroupNormalization,
)
from keras_norms.layers.batch_normalization import BatchNormalization
from keras_norms.layers.cross_replica_batch_normalization import (
    CrossReplicaBatchNormalization,
)
from keras_norms.layers.ghost_batch_normalization import (
    GhostBatchNormalization,
)
from keras_norms.layers.group_normalization import GroupNormalization
from keras_norms.layers.instance_normalization import InstanceNormalization

__all__ = [
    "BatchGroupNormalization",
    "BatchNormalization",
    "CrossReplicaBatchNormalization",
    "GhostBatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
]
