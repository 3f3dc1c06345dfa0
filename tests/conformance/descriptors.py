"""The descriptors of all layers. Add a new layer here.

They drive the tests of this folder.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras_norms
from tests.references import formulas
from tests.references import oracles

CHANNELS = 6
# Public layers that normalize no features.
COMPANIONS = (
    "EnhancedAffine",
    "ThresholdedLinearUnit",
    "WeightStandardization",
)


# Layers with a second input or with several axes have separate tests.
OTHERS = (
    "ConditionalNormalization",
    "DomainSpecificBatchNormalization",
    "LayerNormalization",
)


def public_layers():
    """The names of the layers that are called with one input and one axis.

    The base classes are for subclasses.
    """
    names = set(keras_norms.layers.__all__).difference(OTHERS)
    return sorted(name for name in names if not name.startswith("Base"))


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """A layer, its arguments and its output in training.

    The output follows from the number of examples and of groups of channels
    that the statistics are pooled over, or from a formula.
    """

    name: str
    arguments: dict[str, Any]
    examples: int | None = None
    groups: int = CHANNELS
    running: bool = True
    formula: Callable | None = None
    constants_give_beta: bool = True

    def create(self, **more):
        """Creates the layer, with the epsilon of the formulas."""
        layer_class = getattr(keras_norms.layers, self.name)
        epsilon = {"epsilon": formulas.EPSILON}
        return layer_class(**{**epsilon, **self.arguments, **more})

    @property
    def training(self):
        """The arguments of a call in training."""
        return {"training": True} if self.running else {}

    def expected(self, x, dy, weights, axis, mask=None):
        """y, dx and the gradients of the weights, in float64, by name."""
        if self.formula is None:
            result = oracles.normalize(
                x,
                dy,
                weights["gamma"],
                weights["beta"],
                axis,
                self.examples,
                self.groups,
                mask=mask,
            )
            names = ("y", "dx", "gamma", "beta")
            return dict(zip(names, dataclasses.astuple(result), strict=True))
        inputs = (weights, axis, self.arguments, mask)
        y = formulas.values(self.formula, x, *inputs)
        return {"y": y, **formulas.gradients(self.formula, x, dy, *inputs)}

    @property
    def id(self):
        arguments = "-".join(f"{k}={v}" for k, v in self.arguments.items())
        return f"{self.name}-{arguments}" if arguments else self.name


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
    *(
        Descriptor(name, arguments, formula=formula, **more)
        for name, formula, more, variants in (
            (
                "DynamicNormalization",
                formulas.dynamic,
                {"constants_give_beta": False},
                [
                    {},
                    {"scope": "batch", "reduction": 2},
                    {"synchronized": True, "separate": True, "reduction": 1.5},
                ],
            ),
            (
                "RepresentativeBatchNormalization",
                formulas.representative,
                {},
                [{}, {"synchronized": True}],
            ),
            (
                "InstanceEnhancementBatchNormalization",
                formulas.instance_enhancement,
                {},
                [{}],
            ),
            (
                "UnifiedBatchNormalization",
                formulas.unified,
                {"constants_give_beta": False},
                [
                    {},
                    {"calibrate_scale": False, "synchronized": True},
                    {"affine": "channel", "calibrate_center": False},
                ],
            ),
            ("SwitchableNormalization", formulas.switchable, {}, [{}]),
            ("BatchInstanceNormalization", formulas.batch_instance, {}, [{}]),
            (
                "FilterResponseNormalization",
                formulas.filter_response,
                {"running": False, "constants_give_beta": False},
                [{}, {"learnable_epsilon": True}],
            ),
        )
        for arguments in variants
    ),
]
IDS = [descriptor.id for descriptor in DESCRIPTORS]
RUNNING = [descriptor for descriptor in DESCRIPTORS if descriptor.running]
RUNNING_IDS = [descriptor.id for descriptor in RUNNING]
