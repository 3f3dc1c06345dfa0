"""Claims on batch sizes and groups (tables of the paper, ImageNet)."""

from benchmarks.papers.comparisons import between
from benchmarks.papers.comparisons import change_of_ratio
from benchmarks.papers.configurations import BATCH_NORM
from benchmarks.papers.configurations import GROUP_NORM
from benchmarks.papers.configurations import grouped
from benchmarks.papers.configurations import in_batch
from benchmarks.papers.configurations import per_replica
from benchmarks.papers.configurations import small
from benchmarks.papers.verdicts import EQUAL
from benchmarks.papers.verdicts import HIGHER
from benchmarks.papers.verdicts import LOWER
from benchmarks.papers.verdicts import Claim

SOURCE = "Wu and He 2018"
BN, GN = in_batch(BATCH_NORM), in_batch(GROUP_NORM)
SMALL_BN, SMALL_GN = small(BATCH_NORM), small(GROUP_NORM)

CLAIMS = [
    Claim(
        "Batch norm with the statistics of 2 images per replica is worse than "
        "with those of all 32 images, which is cross-replica batch norm",
        f"{SOURCE}; Peng et al. 2018",
        "+47% (34.7% and 23.6%)",
        HIGHER,
        between(per_replica(2), BN),
    ),
    Claim(
        "So it is with the statistics of 8 images per replica",
        SOURCE,
        "+5% (24.8% and 23.6%)",
        HIGHER,
        between(per_replica(8), BN),
    ),
    Claim(
        "With 2 images per replica, group norm is better than batch norm",
        SOURCE,
        "-31% (24.1% and 34.7%)",
        LOWER,
        between(GN, per_replica(2)),
    ),
    Claim(
        "With 32 images, group norm is a little worse than batch norm",
        SOURCE,
        "+2% (24.1% and 23.6%)",
        HIGHER,
        between(GN, BN),
    ),
    Claim(
        "Batches of 2 images make batch norm worse",
        SOURCE,
        "+47% (34.7% and 23.6%)",
        HIGHER,
        between(SMALL_BN, BN),
    ),
    Claim(
        "Batches of 2 images do not change group norm",
        SOURCE,
        "0% (24.1% and 24.1%)",
        EQUAL,
        between(SMALL_GN, GN),
    ),
    Claim(
        "With batches of 2 images, group norm is better than batch norm",
        SOURCE,
        "-31% (24.1% and 34.7%)",
        LOWER,
        between(SMALL_GN, SMALL_BN),
    ),
    Claim(
        "Batches of 4 instead of 32 images cost group norm less than batch "
        "norm, with the same number of steps",
        SOURCE,
        "-13% (+0.4% and +16%)",
        LOWER,
        change_of_ratio(
            (in_batch(GROUP_NORM, 4), GN), (in_batch(BATCH_NORM, 4), BN)
        ),
    ),
    Claim(
        "Layer norm (one group) is worse than group norm",
        SOURCE,
        "+5% (25.3% and 24.1%)",
        HIGHER,
        between(grouped(1), GN),
    ),
    Claim(
        "Instance norm (one channel per group) is worse than group norm",
        SOURCE,
        "+18% (28.4% and 24.1%)",
        HIGHER,
        between(grouped(-1), GN),
    ),
    Claim(
        "Half of the groups are as good",
        SOURCE,
        "+2% (24.6% and 24.1%)",
        EQUAL,
        between(grouped(2), GN),
    ),
    Claim(
        "Twice the groups are as good",
        SOURCE,
        "+2% (24.6% and 24.1%)",
        EQUAL,
        between(grouped(8), GN),
    ),
]
