"""The claims of the papers, and their verdicts by these runs.

Each claim computes a difference paired by seed from `Results`, in points of
test error unless the remark says otherwise. The claim expects a difference
below 0, above 0, or none (within a point).
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from benchmarks.papers.experiments import BATCH
from benchmarks.papers.results import difference

LOCAL, CROSS = "local batch norm", "cross-replica batch norm"
GROUP, BATCH_GROUP = "group norm", "batch-group norm"
GHOST, UNWEIGHED = "ghost batch norm", "0.0"
NORM, DN_B, DN_C = "batch norm", "DN-B", "DN-C"
UNIFIED, BARE = "keep statistics, calibrations", "keep statistics"
CALIBRATED, READING_B = "calibrations", "use running, calibrations"
NONE = 1.0  # points; smaller differences count as none


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence, its source, the number of the paper, and a measurement."""

    text: str
    source: str
    paper: str
    expected: int
    measure: Callable

    def judge(self, results):
        """The difference, a remark, and the verdict."""
        values, remark = self.measure(results)
        found = difference(values)
        if self.expected and not np.any(values):
            return found, remark, "left out"
        sign = np.sign(found.mean) * (abs(found.mean) > found.margin)
        if self.expected:
            agrees = sign == self.expected
            verdict = "does not" if sign else "cannot tell"
        else:
            agrees = abs(found.mean) + found.margin < NONE
            verdict = "does not" if sign else "cannot tell"
        return found, remark, "agrees" if agrees else verdict


def between(experiment, one, other):
    """The first minus the second, each a method and a condition."""

    def measure(results):
        first, second = (
            results.values(experiment, *each) for each in (one, other)
        )
        return first - second, f"{first.mean():.1f}% and {second.mean():.1f}%"

    return measure


def best_ghost(results):
    size = results.chosen("ghost_size", GHOST, "error")
    ghosts = results.values("ghost_size", GHOST, size)
    batch = results.values("ghost_size", GHOST, BATCH)
    return ghosts - batch, f"size {size} of {BATCH}"


def _weighed(results, size, column, sign=1):
    """The change by example weighing with the weight that validates best."""
    method = f"ghost batches of {size}"
    weight = results.chosen("weighing", method)
    after, before = (
        results.values("weighing", method, each, column)
        for each in (weight, UNWEIGHED)
    )
    return sign * (after - before), f"alpha {weight}"


def weighed_error(results):
    return _weighed(results, BATCH, "test_error")


def weighed_loss(results):
    values, remark = _weighed(results, BATCH, "test_loss")
    return 100 * values, f"{remark}; hundredths of cross-entropy"


def weighed_gap(results):
    test, remark = _weighed(results, BATCH, "test_loss")
    train, _ = _weighed(results, BATCH, "train_loss")
    return 100 * (test - train), f"{remark}; hundredths of cross-entropy"


def weighed_ghosts(results):
    small, remark = _weighed(results, 4, "test_loss")
    large, _ = _weighed(results, BATCH, "test_loss")
    remark = f"ghosts of 4: {remark}; hundredths of cross-entropy"
    return 100 * (small - large), remark


def steadier(experiment, far, near, of=DN_B):
    """The increase of the error, minus that of batch norm."""

    def measure(results):
        suffers = [
            results.values(experiment, method, far)
            - results.values(*near[:1], method, near[1])
            for method in (of, NORM)
        ]
        first, second = suffers
        remark = f"{first.mean():+.1f} and {second.mean():+.1f}"
        losses = results.values(experiment, of, far, "train_loss")
        if diverged := np.count_nonzero(~np.isfinite(losses)):
            remark += f"; {diverged} of {len(losses)} diverged"
        return first - second, remark

    return measure


def unified(method, without=NORM):
    """The threshold that validates best, against no threshold."""

    def measure(results):
        threshold = results.chosen("unified", method, "error")
        values = results.values("unified", method, threshold)
        plain = results.values("unified", without, 1.0)
        return values - plain, f"threshold {threshold}"

    return measure


def calibrations(results):
    values = results.values("unified", CALIBRATED, 1.0)
    return values - results.values("unified", NORM, 1.0), "no threshold"


def epochs_to(errors, level):
    """The first epoch with at most this error, or one after the last."""
    reached = errors <= level
    before = np.where(
        reached.any(axis=1), reached.argmax(axis=1), errors.shape[1]
    )
    return before + 1


def faster(results):
    plain = results.series("unified", NORM, 1.0, "errors")
    threshold = results.chosen("unified", UNIFIED, "error")
    ours = results.series("unified", UNIFIED, threshold, "errors")
    # The error of batch norm after half of the epochs.
    level = plain[:, plain.shape[1] // 2 - 1].mean()
    remark = f"epochs to {level:.1f}%, threshold {threshold}"
    return epochs_to(ours, level) - epochs_to(plain, level), remark


def early(results):
    similarity = results.series("unified", NORM, 1.0, "similarities")
    first, last = similarity[:, 0], similarity[:, -1]
    remark = f"hundredths; {first.mean():.2f}, then {last.mean():.2f}"
    return 100 * (first - last), remark


GN = "Wu and He 2018"
FOUR = "Summers and Dinneen 2020"
DN = "Liu, Gao and Lv 2021"
UBN = "Wang et al. 2023"

CLAIMS = {
    "batch_size": [
        Claim(
            "Few images per replica make batch norm worse",
            GN,
            "+11.1 (ImageNet, 2 against 32)",
            1,
            between("batch_size", (LOCAL, 2), (LOCAL, 32)),
        ),
        Claim(
            "They leave group norm as it is",
            GN,
            "0.0",
            0,
            between("batch_size", (GROUP, 2), (GROUP, 32)),
        ),
        Claim(
            "With 2 images group norm is ahead of batch norm",
            GN,
            "-10.6",
            -1,
            between("batch_size", (GROUP, 2), (LOCAL, 2)),
        ),
        Claim(
            "With 32 it is behind",
            GN,
            "+0.5",
            1,
            between("batch_size", (GROUP, 32), (LOCAL, 32)),
        ),
        Claim(
            "With 2, joining replicas helps batch norm",
            "Peng et al. 2018",
            "no number read",
            -1,
            between("batch_size", (CROSS, 2), (LOCAL, 2)),
        ),
        Claim(
            "With 2, batch-group norm is ahead of group norm",
            FOUR,
            "no number read",
            -1,
            between("batch_size", (BATCH_GROUP, 2), (GROUP, 2)),
        ),
    ],
    "ghost_size": [
        Claim(
            "Some ghost size is ahead of the whole batch",
            FOUR,
            "-0.84 (CIFAR-100), -5.8 (Caltech-256), recalled",
            -1,
            best_ghost,
        ),
    ],
    "weighing": [
        Claim(
            "Weighing examples lowers the error",
            FOUR,
            "no number read",
            -1,
            weighed_error,
        ),
        Claim(
            "Weighing examples lowers the cross-entropy",
            FOUR,
            "no number read",
            -1,
            weighed_loss,
        ),
        Claim(
            "It narrows the gap between training and test",
            FOUR,
            "no number read",
            -1,
            weighed_gap,
        ),
        Claim(
            "Smaller ghost batches gain more from it",
            FOUR,
            "no number read",
            -1,
            weighed_ghosts,
        ),
    ],
    "weight_decay": [
        Claim(
            "Decay of gamma and beta helps a residual network",
            FOUR,
            "-0.3 (CIFAR-100); -0.91 (Caltech-256), recalled",
            -1,
            between(
                "weight_decay",
                ("residual network", 1),
                ("residual network", 0),
            ),
        ),
        Claim(
            "It does not help one without shortcuts",
            FOUR,
            "+0.13 (Inception-v3), recalled",
            0,
            between(
                "weight_decay", ("plain network", 1), ("plain network", 0)
            ),
        ),
    ],
    "dynamic": [
        Claim(
            "DN-B is ahead of batch norm",
            DN,
            "-2 (ImageNet-100)",
            -1,
            between("dynamic_rate", (DN_B, 1.0), (NORM, 1.0)),
        ),
        Claim(
            "DN-C does not train normally",
            DN,
            "fails",
            1,
            between("dynamic_rate", (DN_C, 1.0), (NORM, 1.0)),
        ),
        Claim(
            "DN-B suffers less from a learning rate 16 times as high",
            DN,
            "no number read",
            -1,
            steadier("dynamic_rate", 16.0, ("dynamic_rate", 1.0)),
        ),
        Claim(
            "DN-B with what it adds bounded by tanh (a reading of ours) does",
            DN,
            "no number read",
            -1,
            steadier(
                "dynamic_rate", 16.0, ("dynamic_rate", 1.0), "DN-B, bounded"
            ),
        ),
        Claim(
            "DN-B suffers less from a batch of 4",
            DN,
            "no number read",
            -1,
            steadier("dynamic_batch", 4, ("dynamic_rate", 1.0)),
        ),
    ],
    "unified": [
        Claim(
            "Unified batch norm, threshold and calibrations, is ahead of "
            "batch norm",
            UBN,
            "-3 (ImageNet)",
            -1,
            unified(UNIFIED),
        ),
        Claim(
            "The calibrations alone are",
            "Gao et al. 2021",
            "no number read",
            -1,
            calibrations,
        ),
        Claim(
            "The threshold alone is",
            UBN,
            "no number read",
            -1,
            unified(BARE),
        ),
        Claim(
            "The threshold adds to the calibrations",
            UBN,
            "no number read",
            -1,
            unified(UNIFIED, CALIBRATED),
        ),
        Claim(
            "So does normalizing condensed batches with running statistics",
            "reading B of " + UBN,
            "no number read",
            -1,
            unified(READING_B, CALIBRATED),
        ),
        Claim(
            "It converges faster early",
            UBN,
            "no number read",
            -1,
            faster,
        ),
        Claim(
            "Under batch norm features are most alike early in training",
            UBN,
            "no number read",
            1,
            early,
        ),
    ],
}
