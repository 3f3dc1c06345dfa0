"""What is trained, and the names by which results are found."""

import dataclasses
from typing import Any

BATCH, LARGE, SMALL = 32, 128, 2
RATE = 0.12  # at a batch of 32, and in proportion to the root of the batch
FACTORS = (1 / 3, 1.0, 3.0)  # of the rate, swept on the validation set
HIGH = (5.0, 10.0)  # the factors of high rates
GHOSTS = (2, 4, 8, 16, 32, 64)
GROUPS = 4
# The integral of the decay over a training, by which a weight without a
# gradient shrinks to exp(-dose). With momentum 0.9 and the rates, steps and L2
# coefficients that are usual for CIFAR-100 (5e-4) and ImageNet (1e-4), it is
# about 20.
PAPERS_DOSE = 20.0
DOSES = (2.0, 6.3, PAPERS_DOSE)
# The published bound of the similarity, another one, and none.
PUBLISHED, HIGHER, NO_BOUND = 0.15, 0.4, -1.0
BOUNDS = (NO_BOUND, PUBLISHED, HIGHER)
# Weights of an example's own moments.
WEIGHTS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What is trained, except for the learning rate and the seed.

    Args:
        name: the name in the results.
        layer: the class in `keras_norms.layers`.
        arguments: the arguments of the layer.
        batch: the number of images per step.
        length: multiplies the number of steps.
        factors: the factors of the learning rate. One of several is chosen on
            the validation set.
        residual: whether the network has shortcuts.
        dose: the integral of the weight decay over the training.
        decays_affine: whether gamma and beta decay, too.
        weighs: whether the model is also evaluated with example weighing.
        early: whether the model is also evaluated early in training.
    """

    name: str
    layer: str
    arguments: dict[str, Any]
    batch: int = BATCH
    length: int = 1
    factors: tuple[float, ...] = FACTORS
    residual: bool = True
    dose: float = 0.0
    decays_affine: bool = True
    weighs: bool = False
    early: bool = False

    @property
    def rates(self):
        """The learning rates that are candidates."""
        middle = RATE * (self.batch / BATCH) ** 0.5
        return tuple(round(middle * factor, 6) for factor in self.factors)


BATCH_NORM, GROUP_NORM = "batch norm", "group norm"
SECOND_MOMENTS = "batch norm with averages of second moments"
BATCH_GROUP = "batch-group norm"
DN_B, DN_C, BOUNDED = "DN-B", "DN-C", "DN-B, bounded"
GATE, CALIBRATIONS, DEPTHWISE = "gate", "calibrations", "depthwise"


def in_batch(method, batch=BATCH):
    """The name of a method, trained with a batch size."""
    return f"{method}, batch {batch}"


def per_replica(images):
    """The name of batch norm with statistics of each replica."""
    return f"batch norm, {images} images per replica"


def small(method):
    """The name of a method, trained with 2 images per step.

    With 16 times the steps, the number of images is that of a batch of 32.
    """
    return f"{method}, batch {SMALL}, {BATCH // SMALL} times the steps"


def grouped(count):
    """The name of group norm with a number of groups."""
    names = {1: "layer norm", -1: "instance norm", GROUPS: GROUP_NORM}
    return in_batch(names.get(count, f"group norm with {count} groups"))


def ghost(size):
    """The name of ghost batches of a size, or of the batch of 128."""
    if size == LARGE:
        return in_batch(BATCH_NORM, LARGE)
    return in_batch(f"ghost batches of {size}", LARGE)


def decay(dose, decays_affine, residual=True):
    """The name of a training with weight decay."""
    network = "residual network" if residual else "plain network"
    without = "" if decays_affine else " without gamma and beta"
    return f"{network}, decay {dose:g}{without}"


def at_rate(method, factor):
    """The name of a method, trained with a fixed high rate."""
    return f"{method}, rate {RATE * factor:g}"


def unified_norm(bound, batch):
    """The name of unified batch norm with both stages."""
    stated = "no bound" if bound == NO_BOUND else f"bound {bound:g}"
    return in_batch(f"unified batch norm, {stated}", batch)


FOUR_THINGS = in_batch("ghosts, groups, weighing, decay", LARGE)
THREE_THINGS = in_batch("ghosts, weighing, decay", LARGE)
NONE_OF_THEM = in_batch("batch norm, decay without gamma and beta", LARGE)
