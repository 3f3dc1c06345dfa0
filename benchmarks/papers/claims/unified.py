"""Claims on unified batch norm, its stages and a control."""

from benchmarks.papers.comparisons import best
from benchmarks.papers.comparisons import between
from benchmarks.papers.comparisons import early
from benchmarks.papers.configurations import BATCH
from benchmarks.papers.configurations import BATCH_NORM
from benchmarks.papers.configurations import BOUNDS
from benchmarks.papers.configurations import CALIBRATIONS
from benchmarks.papers.configurations import DEPTHWISE
from benchmarks.papers.configurations import GATE
from benchmarks.papers.configurations import LARGE
from benchmarks.papers.configurations import NO_BOUND
from benchmarks.papers.configurations import PUBLISHED
from benchmarks.papers.configurations import in_batch
from benchmarks.papers.configurations import unified_norm
from benchmarks.papers.verdicts import LOWER
from benchmarks.papers.verdicts import Claim

SOURCE = "Wang et al. 2023"
UNREAD = "no number read"


def claims(batch):
    """The claims with a batch size."""
    batch_norm = in_batch(BATCH_NORM, batch)
    published = unified_norm(PUBLISHED, batch)
    bounds = {
        f"bound {bound:g}": unified_norm(bound, batch)
        for bound in BOUNDS
        if bound != NO_BOUND
    }
    with_batch = f"with batches of {batch}"
    return [
        Claim(
            "Unified batch norm as published (bound 0.15) is better than "
            f"batch norm, {with_batch}",
            SOURCE,
            "-3 points (ImageNet)",
            LOWER,
            between(published, batch_norm),
        ),
        Claim(
            f"So it is with the best bound, {with_batch}",
            SOURCE,
            "-3 points (ImageNet)",
            LOWER,
            best(bounds, batch_norm),
        ),
        Claim(
            "It converges faster: after a third of the steps, it is better "
            f"than batch norm, {with_batch}",
            SOURCE,
            UNREAD,
            LOWER,
            early(published, batch_norm),
        ),
        Claim(
            f"Its gate alone is better than batch norm, {with_batch}",
            SOURCE,
            UNREAD,
            LOWER,
            between(in_batch(GATE, batch), batch_norm),
        ),
        Claim(
            f"Its calibrations alone are, {with_batch}",
            f"{SOURCE}; Gao et al. 2021",
            UNREAD,
            LOWER,
            between(in_batch(CALIBRATIONS, batch), batch_norm),
        ),
        Claim(
            f"Its depthwise convolution alone is, {with_batch}",
            f"{SOURCE}; Xu et al. 2020",
            UNREAD,
            LOWER,
            between(in_batch(DEPTHWISE, batch), batch_norm),
        ),
        Claim(
            "Unified batch norm is better than its depthwise convolution "
            f"alone, which has nearly as many weights, {with_batch}",
            SOURCE,
            UNREAD,
            LOWER,
            between(published, in_batch(DEPTHWISE, batch)),
        ),
        Claim(
            "The gate improves the calibrations with the depthwise "
            f"convolution, {with_batch}",
            SOURCE,
            UNREAD,
            LOWER,
            between(published, unified_norm(NO_BOUND, batch)),
        ),
    ]


CLAIMS = [*claims(BATCH), *claims(LARGE)]
