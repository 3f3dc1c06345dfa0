"""The table that drives every cross-cutting test: add a new layer here."""

import dataclasses
from typing import Any

import keras_norms

CHANNELS = 6


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """A layer, and what its statistics in training are pooled over."""

    name: str
    arguments: dict[str, Any]
    examples: int | None
    groups: int
    running: bool = True

    def create(self, **more):
        layer_class = getattr(keras_norms.layers, self.name)
        return layer_class(**{**self.arguments, **more})

    @property
    def id(self):
        own = "-".join(f"{k}={v}" for k, v in self.arguments.items())
        return f"{self.name}-{own}" if own else self.name


DESCRIPTORS = [
    Descriptor("GroupNormalization", {"groups": 3}, 1, 3, running=False),
    Descriptor(
        "GroupNormalization", {"groups": -1}, 1, CHANNELS, running=False
    ),
    Descriptor("InstanceNormalization", {}, 1, CHANNELS, running=False),
    Descriptor("BatchNormalization", {}, None, CHANNELS),
    Descriptor("BatchNormalization", {"synchronized": True}, None, CHANNELS),
    Descriptor("BatchNormalization", {"ghost_batch_size": 3}, 3, CHANNELS),
    Descriptor("BatchNormalization", {"inference_weight": 0.2}, None, 6),
    Descriptor(
        "BatchNormalization",
        {"renorm": True, "renorm_clipping": {"rmax": 1, "rmin": 1, "dmax": 0}},
        None,
        CHANNELS,
    ),
    Descriptor("GhostBatchNormalization", {"ghost_batch_size": 2}, 2, 6),
    Descriptor("CrossReplicaBatchNormalization", {}, None, CHANNELS),
    Descriptor("BatchGroupNormalization", {"groups": 2}, None, 2),
    Descriptor(
        "BatchGroupNormalization",
        {"groups": 3, "examples_per_group": 2, "inference_weight": 0.5},
        2,
        3,
    ),
    Descriptor(
        "BatchGroupNormalization",
        {"groups": 2, "synchronized": True},
        None,
        2,
    ),
]
IDS = [descriptor.id for descriptor in DESCRIPTORS]
RUNNING = [descriptor for descriptor in DESCRIPTORS if descriptor.running]
RUNNING_IDS = [descriptor.id for descriptor in RUNNING]
