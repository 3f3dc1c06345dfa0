"""The configurations of each experiment.

All trainings take the same number of steps, unless `length` multiplies it.
One device trains on the joined batch of all replicas. Batch normalization
without synchronization is then ghost batch normalization with the images of
one replica, and cross-replica batch normalization is batch normalization
(tests/conformance/test_replicas.py tests both).
"""

from benchmarks.papers import configurations as names
from benchmarks.papers.configurations import BATCH
from benchmarks.papers.configurations import LARGE
from benchmarks.papers.configurations import SMALL
from benchmarks.papers.configurations import Configuration

# With 24, 16 channels would have a bottleneck of 1.
DN_B = {"scope": "example", "reduction": 4}
DN_C = {"scope": "batch", "reduction": 4}
BOUNDED = {**DN_B, "output_activation": "tanh"}
EXAMPLES_PER_GROUP = 16  # as in the code of the four things


def batch_norm(name, batch=BATCH, arguments=(), **more):
    arguments = dict(arguments)
    return Configuration(name, "BatchNormalization", arguments, batch, **more)


def group_norm(name, groups=names.GROUPS, **more):
    arguments = {"groups": groups}
    return Configuration(name, "GroupNormalization", arguments, **more)


def batch_size():
    """Statistics of fewer images, of parts of a batch or of small batches."""
    more = {"weighs": True, "early": True}
    yield batch_norm(names.in_batch(names.BATCH_NORM), **more)
    yield group_norm(names.in_batch(names.GROUP_NORM))
    for images in (2, 8):
        local = {
            "ghost_batch_size": images,
            "ghost_statistics": "average",
            "running_variance": "within",
        }
        yield batch_norm(names.per_replica(images), arguments=local)
    more = {"batch": SMALL, "length": BATCH // SMALL}
    yield batch_norm(names.small(names.BATCH_NORM), **more)
    # The averages of the authors of example weighing.
    yield batch_norm(
        names.small(names.SECOND_MOMENTS),
        arguments={"running_variance": "total"},
        weighs=True,
        **more,
    )
    yield group_norm(names.small(names.GROUP_NORM), **more)
    yield Configuration(
        names.small(names.BATCH_GROUP),
        "BatchGroupNormalization",
        {"groups": names.GROUPS},
        weighs=True,
        **more,
    )
    yield group_norm(names.in_batch(names.GROUP_NORM, 4), batch=4)


def groups():
    """Group norm with other numbers of groups; -1 is instance norm."""
    for count in (1, 2, 8, -1):
        yield group_norm(names.grouped(count), count)


def ghosts():
    """Ghost batches of a batch of 128."""
    yield batch_norm(names.ghost(LARGE), LARGE, weighs=True, early=True)
    for size in names.GHOSTS:
        arguments = {"ghost_batch_size": size}
        yield batch_norm(names.ghost(size), LARGE, arguments, weighs=True)


def weight_decay():
    """Weight decay on all weights, or on all but gamma and beta."""
    for residual, doses in (
        (True, names.DOSES),
        (False, [names.PAPERS_DOSE]),
    ):
        for dose in doses:
            for decays_affine in (True, False):
                yield batch_norm(
                    names.decay(dose, decays_affine, residual),
                    length=2,
                    residual=residual,
                    dose=dose,
                    decays_affine=decays_affine,
                )


def four_things():
    """Ghost batches, channel groups, weighing and decay, in one layer."""
    for name, channel_groups in (
        (names.FOUR_THINGS, names.GROUPS),
        (names.THREE_THINGS, -1),
    ):
        yield Configuration(
            name,
            "BatchGroupNormalization",
            {
                "groups": channel_groups,
                "examples_per_group": EXAMPLES_PER_GROUP,
            },
            LARGE,
            dose=names.DOSES[0],
            weighs=True,
        )
    more = {"dose": names.DOSES[0], "decays_affine": False}
    yield batch_norm(names.NONE_OF_THEM, LARGE, **more)


def dynamic():
    """Dynamic norm and batch norm with small batches and high rates."""
    layer = "DynamicNormalization"
    for batch in (4, 16):
        yield batch_norm(names.in_batch(names.BATCH_NORM, batch), batch)
        name = names.in_batch(names.DN_B, batch)
        yield Configuration(name, layer, DN_B, batch)
    yield Configuration(names.in_batch(names.DN_B), layer, DN_B)
    yield Configuration(names.in_batch(names.DN_C), layer, DN_C)
    for factor in names.HIGH:
        high = {"factors": (factor,)}
        yield batch_norm(names.at_rate(names.BATCH_NORM, factor), **high)
        methods = {names.DN_B: DN_B, names.BOUNDED: BOUNDED}
        for method, arguments in methods.items():
            name = names.at_rate(method, factor)
            yield Configuration(name, layer, arguments, **high)


def unified():
    """Unified batch norm, each of its stages, and both."""
    channel = {"affine": "channel"}
    uncalibrated = {"calibrate_center": False, "calibrate_scale": False}
    stages = {
        names.GATE: {"bound": names.PUBLISHED, **channel, **uncalibrated},
        names.CALIBRATIONS: {"bound": names.NO_BOUND, **channel},
        names.DEPTHWISE: {"bound": names.NO_BOUND, **uncalibrated},
    }
    for batch in (BATCH, LARGE):
        candidates = {
            names.in_batch(stage, batch): arguments
            for stage, arguments in stages.items()
        }
        for bound in names.BOUNDS:
            candidates[names.unified_norm(bound, batch)] = {"bound": bound}
        published = names.unified_norm(names.PUBLISHED, batch)
        for name, arguments in candidates.items():
            layer, early = "UnifiedBatchNormalization", name == published
            yield Configuration(name, layer, arguments, batch, early=early)


EXPERIMENTS = {
    "batch_size": batch_size,
    "groups": groups,
    "ghosts": ghosts,
    "weight_decay": weight_decay,
    "four_things": four_things,
    "dynamic": dynamic,
    "unified": unified,
}


def configurations(experiments=EXPERIMENTS):
    """The configurations of some experiments by name."""
    return {
        configuration.name: configuration
        for name in experiments
        for configuration in EXPERIMENTS[name]()
    }
