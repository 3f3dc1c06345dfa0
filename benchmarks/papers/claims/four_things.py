"""Claims on ghost batches, example weighing, groups and weight decay."""

from benchmarks.papers.comparisons import best
from benchmarks.papers.comparisons import between
from benchmarks.papers.comparisons import change_of_ratio
from benchmarks.papers.comparisons import weighing
from benchmarks.papers.configurations import BATCH_GROUP
from benchmarks.papers.configurations import BATCH_NORM
from benchmarks.papers.configurations import DOSES
from benchmarks.papers.configurations import FOUR_THINGS
from benchmarks.papers.configurations import GHOSTS
from benchmarks.papers.configurations import GROUP_NORM
from benchmarks.papers.configurations import LARGE
from benchmarks.papers.configurations import NONE_OF_THEM
from benchmarks.papers.configurations import PAPERS_DOSE
from benchmarks.papers.configurations import SECOND_MOMENTS
from benchmarks.papers.configurations import THREE_THINGS
from benchmarks.papers.configurations import decay
from benchmarks.papers.configurations import ghost
from benchmarks.papers.configurations import in_batch
from benchmarks.papers.configurations import small
from benchmarks.papers.verdicts import EQUAL
from benchmarks.papers.verdicts import HIGHER
from benchmarks.papers.verdicts import LOWER
from benchmarks.papers.verdicts import Claim

SOURCE = "Summers and Dinneen 2020"
UNREAD = "no number read"
SIZES = {f"size {size}": ghost(size) for size in (*GHOSTS, LARGE)}
WITH, WITHOUT = (
    {f"decay {dose:g}": decay(dose, decays_affine) for dose in DOSES}
    for decays_affine in (True, False)
)


def weighing_ratio(name):
    """The ratio of the errors with and without example weighing."""
    return (name, True), name


def decays(residual):
    """The ratio of the errors with and without decay of gamma and beta."""
    return [decay(PAPERS_DOSE, on, residual) for on in (True, False)]


GHOST_CLAIMS = [
    Claim(
        "In a batch of 128, some size of ghost batches is better than the "
        "batch",
        SOURCE,
        "-0.84 points (CIFAR-100), -5.8 (Caltech-256), recalled",
        LOWER,
        best(SIZES, ghost(LARGE)),
    ),
    Claim(
        "That size is better than 2, so the best size lies in between",
        SOURCE,
        UNREAD,
        LOWER,
        best(SIZES, ghost(2)),
    ),
]
WEIGHING_CLAIMS = [
    Claim(
        "Example weighing lowers the error, with batches of 32",
        SOURCE,
        UNREAD,
        LOWER,
        weighing(in_batch(BATCH_NORM)),
    ),
    Claim(
        "It lowers the cross-entropy, with batches of 32",
        SOURCE,
        UNREAD,
        LOWER,
        weighing(in_batch(BATCH_NORM), "losses"),
    ),
    Claim(
        "It lowers the error, with ghost batches of 2",
        SOURCE,
        UNREAD,
        LOWER,
        weighing(ghost(2)),
    ),
    Claim(
        "It lowers the cross-entropy, with ghost batches of 2",
        SOURCE,
        UNREAD,
        LOWER,
        weighing(ghost(2), "losses"),
    ),
    Claim(
        "It lowers the error more with ghost batches of 2 than with the batch",
        SOURCE,
        UNREAD,
        LOWER,
        change_of_ratio(
            weighing_ratio(ghost(2)), weighing_ratio(ghost(LARGE))
        ),
    ),
    Claim(
        "It lowers the cross-entropy more with ghost batches of 2",
        SOURCE,
        UNREAD,
        LOWER,
        change_of_ratio(
            weighing_ratio(ghost(2)), weighing_ratio(ghost(LARGE)), "losses"
        ),
    ),
    Claim(
        "It lowers the error of batch norm with batches of 2 images",
        SOURCE,
        UNREAD,
        LOWER,
        weighing(small(SECOND_MOMENTS)),
    ),
]
GROUP_CLAIMS = [
    Claim(
        "With batches of 2 images, batch-group norm is better than batch norm",
        SOURCE,
        UNREAD,
        LOWER,
        between(small(BATCH_GROUP), small(BATCH_NORM)),
    ),
    Claim(
        "It is better than group norm",
        SOURCE,
        UNREAD,
        LOWER,
        between(small(BATCH_GROUP), small(GROUP_NORM)),
    ),
    Claim(
        "With example weighing, it is better than group norm",
        SOURCE,
        UNREAD,
        LOWER,
        between(small(BATCH_GROUP), small(GROUP_NORM), weighted=True),
    ),
]
DECAY_CLAIMS = [
    Claim(
        "Weight decay of gamma and beta improves a residual network, with the "
        "papers' decay",
        SOURCE,
        "-0.3 points (CIFAR-100)",
        LOWER,
        between(*decays(residual=True)),
    ),
    Claim(
        "So it does with the best decay for each",
        SOURCE,
        "-0.3 points (CIFAR-100)",
        LOWER,
        best(WITH, WITHOUT),
    ),
    Claim(
        "It does not change a network without shortcuts",
        SOURCE,
        "+0.13 points (Inception-v3), recalled",
        EQUAL,
        between(*decays(residual=False)),
    ),
    Claim(
        "It is worth less in a network without shortcuts",
        SOURCE,
        UNREAD,
        HIGHER,
        change_of_ratio(decays(residual=False), decays(residual=True)),
    ),
]
TOGETHER_CLAIMS = [
    Claim(
        "Ghost batches of 16, example weighing and decay of gamma and beta "
        "together are better than batch norm, with batches of 128",
        SOURCE,
        UNREAD,
        LOWER,
        between(THREE_THINGS, NONE_OF_THEM, weighted=True),
    ),
    Claim(
        "So they are with channel groups, the fourth thing",
        SOURCE,
        UNREAD,
        LOWER,
        between(FOUR_THINGS, NONE_OF_THEM, weighted=True),
    ),
]
CLAIMS = [
    *GHOST_CLAIMS,
    *WEIGHING_CLAIMS,
    *GROUP_CLAIMS,
    *DECAY_CLAIMS,
    *TOGETHER_CLAIMS,
]
