"""Claims of the abstract on dynamic normalization."""

from benchmarks.papers.comparisons import between
from benchmarks.papers.comparisons import change_of_ratio
from benchmarks.papers.configurations import BATCH_NORM
from benchmarks.papers.configurations import BOUNDED
from benchmarks.papers.configurations import DN_B
from benchmarks.papers.configurations import DN_C
from benchmarks.papers.configurations import HIGH
from benchmarks.papers.configurations import RATE
from benchmarks.papers.configurations import at_rate
from benchmarks.papers.configurations import in_batch
from benchmarks.papers.verdicts import HIGHER
from benchmarks.papers.verdicts import LOWER
from benchmarks.papers.verdicts import Claim

SOURCE = "Liu, Gao and Lv 2021"
UNREAD = "no number read"


def ahead(batch):
    """DN-B against batch norm with a batch size."""
    return between(in_batch(DN_B, batch), in_batch(BATCH_NORM, batch))


BATCH_CLAIMS = [
    Claim(
        "DN-B is better than batch norm, with batches of 32",
        SOURCE,
        "-2 points (ImageNet-100)",
        LOWER,
        ahead(32),
    ),
    Claim(
        "It is better with batches of 16",
        SOURCE,
        UNREAD,
        LOWER,
        ahead(16),
    ),
    Claim(
        "It is better with batches of 4",
        SOURCE,
        UNREAD,
        LOWER,
        ahead(4),
    ),
    Claim(
        "Batches of 4 instead of 32 images cost it less than batch norm",
        SOURCE,
        UNREAD,
        LOWER,
        change_of_ratio(
            (in_batch(DN_B, 4), in_batch(DN_B)),
            (in_batch(BATCH_NORM, 4), in_batch(BATCH_NORM)),
        ),
    ),
    Claim(
        "DN-C does not train normally: it is worse than batch norm",
        SOURCE,
        "does not train",
        HIGHER,
        between(in_batch(DN_C), in_batch(BATCH_NORM)),
    ),
]
RATE_CLAIMS = [
    Claim(
        f"With a learning rate of {RATE * factor:g}, {method} is better than "
        "batch norm",
        SOURCE,
        UNREAD,
        LOWER,
        between(at_rate(name, factor), at_rate(BATCH_NORM, factor)),
    )
    for name, method in (
        (DN_B, "DN-B"),
        (BOUNDED, "DN-B with dgamma and dbeta bounded by tanh (our option)"),
    )
    for factor in HIGH
]
CLAIMS = [*BATCH_CLAIMS, *RATE_CLAIMS]
