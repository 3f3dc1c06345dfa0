"""Confidence intervals over both seeds and test images.

The errors of a configuration are a matrix of seeds and test images. Both are
random: another seed trains another network, and another test set has other
images. The mean error of a configuration, `mean[s, i]` over S seeds and N
images, has the variance

    V = V_seeds / S + V_images / N + V_rest / (S N)

Three bootstraps with the same weights for all configurations estimate it:

    seeds   draws S - 1 of the S seeds     V_seeds / S + V_rest / (S N)
    images  draws N - 1 of the N images    V_images / N + V_rest / (S N)
    both    draws seeds and images         the sum of these + V_rest / (S N)

A bootstrap draws with replacement. With one draw less than there are values,
its variance is unbiased (Rao and Wu 1988). `both` is the pigeonhole bootstrap
(Owen 2007), which counts the rest three times, so

    V = 2 (seeds + images) - both, but at least seeds and at least images

Every statistic here is a function of mean errors, such as the logarithm of a
ratio. It is computed in every replicate, so dependencies between
configurations, which share seeds and images, are included. The interval is
that of Student's t around the estimate. Its degrees of freedom are those of
Satterthwaite: S - 1 if seeds dominate, N - 1 if images do.
"""

import dataclasses
import functools

import numpy as np
from scipy import stats

REPLICATES = 4000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A statistic, its standard error and its degrees of freedom."""

    value: float
    error: float
    freedom: float

    def interval(self, confidence=0.95):
        """The ends of the confidence interval."""
        if not self.error:
            return self.value, self.value
        quantile = stats.t.ppf((1 + confidence) / 2, self.freedom)
        margin = float(quantile) * self.error
        return self.value - margin, self.value + margin

    def p_above(self, bound):
        """The p-value of the hypothesis that the value is at most a bound."""
        if not self.error:
            return 0.0 if self.value > bound else 1.0
        return float(
            stats.t.sf((self.value - bound) / self.error, self.freedom)
        )

    def p_below(self, bound):
        """The p-value of the hypothesis that the value is at least a bound."""
        return Estimate(-self.value, self.error, self.freedom).p_above(-bound)


@functools.cache
def draws(count, replicates=REPLICATES, stream=0):
    """The share of each value in each replicate, which draws one less."""
    random = np.random.default_rng([stream, count])
    drawn = max(1, count - 1)
    shares = np.full(count, 1 / count)
    weights = random.multinomial(drawn, shares, size=replicates)
    return (weights / drawn).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Means:
    """The mean of a matrix, and its replicates in the three bootstraps."""

    mean: float
    seeds: np.ndarray
    images: np.ndarray
    both: np.ndarray
    shape: tuple[int, int]


def means(matrix):
    """Resamples the mean of a matrix of shape `[seeds, images]`."""
    matrix = np.asarray(matrix, np.float32)
    seeds, images = matrix.shape
    of_seeds, of_images = draws(seeds), draws(images, stream=1)
    return Means(
        mean=float(matrix.mean(dtype=np.float64)),
        seeds=of_seeds @ matrix.mean(axis=1),
        images=of_images @ matrix.mean(axis=0),
        both=np.einsum("bi,bi->b", of_seeds @ matrix, of_images),
        shape=(seeds, images),
    )


def estimate(statistic, *configurations):
    """The estimate of a statistic of mean errors.

    Args:
        statistic: a function of one mean or array of means per configuration.
        configurations: the `Means` of each, of one shape.

    Returns:
        The `Estimate`.
    """
    value = float(statistic(*(each.mean for each in configurations)))
    names = ("seeds", "images", "both")
    of_seeds, of_images, of_both = (
        float(np.var(statistic(*(getattr(c, name) for c in configurations))))
        for name in names
    )
    [(seeds, images)] = {each.shape for each in configurations}
    if seeds == 1:
        return Estimate(value, np.inf, 1.0)
    unbiased = 2 * (of_seeds + of_images) - of_both
    variance = max(unbiased, of_seeds, of_images)
    if not variance:
        return Estimate(value, 0.0, np.inf)
    parts = of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1)
    return Estimate(value, variance**0.5, variance**2 / parts)
