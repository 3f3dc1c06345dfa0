"""The state of a layer after a call."""

import numpy as np
import tensorflow as tf

from benchmarks.fuzz.arguments import BATCH_NORMS


def state_after(case, method):
    """The state after the call, by name, and the names to skip."""
    w, noise, skipped = method.w, method.noise, {}
    names = [name for name in STATE if name in w]
    if not case.trains:
        return {name: w[name] for name in names}, skipped
    mean, variance, count = method.running_target()
    mean = mean[:, 0] if mean.shape[1] else 0.0 * w["moving_mean"]
    variance = (
        variance[:, 0] if variance.shape[1] else 0.0 * w["moving_variance"]
    )
    present = bool(count.size and count[0, 0] > 0)
    mean, variance = noise(mean), noise(variance)
    if case.arguments.get("ghost_batch_size") is not None:
        mean, variance = _ghosts(case, method, mean, variance)
    valid = np.isfinite((mean + variance).numpy()[0]) & present
    new = {}
    if "similarity" in w:
        new["similarity"], is_open, unclear = method.bounded()
        if unclear:
            skipped = dict.fromkeys(ALL, "the similarity is at the bound")
        valid = valid & is_open
    new |= _updated_statistics(case, method, mean, variance, valid)
    return {name: new[name] for name in names}, skipped


class _All(frozenset):
    """The names that stand for all outputs in `check.compare`."""


ALL = _All({"*"})
STATE = (
    *("moving_mean", "moving_variance", "moving_stddev"),
    *("renorm_mean", "renorm_stddev"),
    "similarity",
)


def averages_second_moments(case):
    """Whether `running_variance` is `"total"`, by its documented default."""
    arguments = case.arguments
    if arguments.get("running_variance") is not None:
        return arguments["running_variance"] == "total"
    if case.layer == "BatchGroupNormalization":
        return True
    if case.layer not in BATCH_NORMS or arguments.get("renorm"):
        return False
    ghosts = arguments.get("ghost_batch_size") is not None
    return ghosts or arguments.get("inference_weight", 0.0) != 0.0


def _updated_statistics(case, method, mean, variance, valid):
    w, noise = method.w, method.noise

    def step(name, value, momentum):
        old = noise(w[name] * momentum)
        updated = noise(old + noise(value * (1.0 - momentum)))
        return tf.where(valid, updated, w[name])

    momentum = case.arguments.get("momentum", 0.99)
    new = {
        "moving_mean": step("moving_mean", mean, momentum),
        "moving_variance": step("moving_variance", variance, momentum),
    }
    if averages_second_moments(case):
        distance = tf.square(noise(w["moving_mean"] - mean))
        rounded = noise.relative(mean.shape) * tf.abs(mean) * distance**0.5
        between = momentum * (1.0 - momentum) * noise(distance + rounded)
        more = noise(new["moving_variance"] + between)
        new["moving_variance"] = tf.where(valid, more, w["moving_variance"])
    if case.arguments.get("renorm"):
        # Also the root of a zero variance, up to the rounding of means.
        rounded = tf.square(noise.relative(mean.shape) * mean)
        stddev = tf.sqrt(noise(variance + case.epsilon) + rounded)
        renorm_momentum = case.arguments.get("renorm_momentum", 0.99)
        new["renorm_mean"] = step("renorm_mean", mean, renorm_momentum)
        new["renorm_stddev"] = step("renorm_stddev", stddev, renorm_momentum)
        new["moving_stddev"] = step("moving_stddev", stddev, momentum)
        square = noise(tf.square(new["moving_stddev"]))
        rounded = noise.relative(square.shape) * square
        square = tf.maximum(square - case.epsilon, 0.0) + rounded
        new["moving_variance"] = tf.where(valid, square, w["moving_variance"])
    return new


def _ghosts(case, method, mean, variance):
    """The target by the convention of `ghost_statistics`."""
    statistics = case.arguments["ghost_statistics"]
    if statistics == "batch" or not method.s.examples:
        return mean, variance
    size = case.arguments["ghost_batch_size"]
    moments = method.s.moments(size)
    firsts = range(0, method.s.examples, size)
    count = moments.count[:, 0]
    noise = method.noise
    if statistics == "average":
        if averages_second_moments(case):
            return mean, variance
        total = max(sum(count[first] for first in firsts), 1)
        variance = sum(
            noise(moments.variance[:, first] * count[first] / total)
            for first in firsts
        )
        return mean, noise(variance)
    return _sequential(case, method, moments, count)


def _sequential(case, method, moments, count):
    """The target for which one update equals one for each ghost batch."""
    size = case.arguments["ghost_batch_size"]
    momentum = case.arguments.get("momentum", 0.99)
    noise, w = method.noise, method.w
    if momentum == 1.0:
        return w["moving_mean"], w["moving_variance"]
    total = averages_second_moments(case)
    mean, variance = w["moving_mean"], w["moving_variance"]
    for first in range(0, method.s.examples, size):
        if not count[first]:
            continue
        own = noise(moments.mean[:, first])
        step = noise(moments.variance[:, first]) * (1.0 - momentum)
        variance = noise(variance * momentum + noise(step))
        if total:
            between = tf.square(noise(mean - own))
            variance += noise(momentum * (1.0 - momentum) * between)
        mean = noise(mean * momentum + noise(own * (1.0 - momentum)))
    # The layer computes one step from the old running statistics.
    mean += noise.relative(mean.shape) * w["moving_mean"]
    variance += noise.relative(variance.shape) * w["moving_variance"]
    mean, variance = (
        (after - momentum * w[name]) / (1.0 - momentum)
        for name, after in (
            ("moving_mean", mean),
            ("moving_variance", variance),
        )
    )
    if total:
        variance -= momentum * tf.square(w["moving_mean"] - mean)
    return mean, variance
