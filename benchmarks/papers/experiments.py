"""The configurations that are trained for each claim.

One device trains on the joined batch of two replicas. Batch norm without
synchronization is then ghost batch norm with the images of one replica, and
cross-replica batch norm is batch norm (tests/conformance/test_replicas.py
tests this).
"""

import dataclasses
from typing import Any

REPLICAS = 2
RATE = 0.05  # at a batch of 64, in proportion to the batch
EPOCHS = 12
BATCH = 64
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BARE = {"calibrate_center": False, "calibrate_scale": False}


@dataclasses.dataclass(frozen=True)
class Config:
    """One training, except for its seed."""

    experiment: str
    method: str
    condition: float
    layer: str
    arguments: dict[str, Any]
    batch: int = BATCH
    rate: float = 1.0
    residual: bool = True
    weight_decay: float = 0.0
    family: str = "plain"
    weighs: bool = False

    def keys(self, dataset):
        """The key of a row of results, except for its seed."""
        return dataset, self.experiment, self.method, str(self.condition)


def batch_size():
    """Error against images per replica."""
    for images in (2, 8, 32):
        for method, layer, arguments in (
            (
                "local batch norm",
                "BatchNormalization",
                {"ghost_batch_size": images, "ghost_statistics": "average"},
            ),
            ("cross-replica batch norm", "BatchNormalization", {}),
            ("ghost batch norm", "GhostBatchNormalization", {"size": 8}),
            ("group norm", "GroupNormalization", {"groups": 4}),
            (
                "batch-group norm",
                "BatchGroupNormalization",
                {"groups": 4, "examples_per_group": images},
            ),
        ):
            if "size" in arguments:
                arguments = {"ghost_batch_size": arguments["size"]}
            yield Config(
                "batch_size",
                method,
                images,
                layer,
                arguments,
                batch=REPLICAS * images,
            )


def ghost_size():
    """Error against the size of ghost batches, with example weighing."""
    for size in (2, 4, 8, 16, 32, BATCH):
        yield Config(
            "ghost_size",
            "ghost batch norm",
            size,
            "BatchNormalization",
            {"ghost_batch_size": size},
            weighs=True,
        )


def weight_decay():
    """Weight decay on gamma and beta or not, with and without shortcuts."""
    for residual in (True, False):
        for family in ("plain", "residual"):
            decays = family == "residual"
            yield Config(
                "weight_decay",
                "residual network" if residual else "plain network",
                int(decays),
                "BatchNormalization",
                {},
                batch=32,
                residual=residual,
                weight_decay=0.05,
                family=family,
            )


def dynamic():
    """Dynamic norm and batch norm at other rates and at a small batch."""
    for name, batch, rate in (
        ("dynamic_rate", BATCH, 1.0),
        ("dynamic_rate", BATCH, 4.0),
        ("dynamic_rate", BATCH, 16.0),
        ("dynamic_batch", 4, 1.0),
        ("dynamic_batch", 16, 1.0),
    ):
        for method, layer, arguments in (
            ("batch norm", "BatchNormalization", {}),
            ("DN-B", "DynamicNormalization", {"scope": "example"}),
            (
                "DN-B, bounded",
                "DynamicNormalization",
                {"scope": "example", "output_activation": "tanh"},
            ),
            ("DN-C", "DynamicNormalization", {"scope": "batch"}),
        ):
            if arguments:
                # With 24, 16 channels would have a bottleneck of 1.
                arguments = {**arguments, "reduction": 4}
            condition = rate if name == "dynamic_rate" else batch
            yield Config(
                name, method, condition, layer, arguments, batch, rate
            )


def unified():
    """The readings of unified batch norm, with each threshold."""
    no_threshold = {"condensation_threshold": 1.0}
    short = {"warmup_steps": 30}  # of some 300 to 500 steps
    running = {"when_condensed": "use_running"}
    readings = {
        "batch norm": {**no_threshold, **BARE},
        "calibrations": no_threshold,
        "keep statistics": {**short, **BARE},
        "keep statistics, calibrations": short,
        "use running": {**short, **running, **BARE},
        "use running, calibrations": {**short, **running},
    }
    for method, arguments in readings.items():
        thresholds = THRESHOLDS
        if arguments.get("condensation_threshold"):
            thresholds = (1.0,)
        for threshold in thresholds:
            yield Config(
                "unified",
                method,
                threshold,
                "UnifiedBatchNormalization",
                {**arguments, "condensation_threshold": threshold},
                batch=32,
            )


EXPERIMENTS = {
    "batch_size": batch_size,
    "ghost_size": ghost_size,
    "weight_decay": weight_decay,
    "dynamic": dynamic,
    "unified": unified,
}
