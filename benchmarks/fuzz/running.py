"""The state of a layer after a call."""

import numpy as np
import tensorflow as tf


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
        condensed, unclear = method.condensed()
        if unclear and case.arguments["condensation_threshold"] < 1:
            reason = "the similarity is at the threshold"
            uses_running = case.arguments["when_condensed"] == "use_running"
            skipped = dict.fromkeys(ALL if uses_running else names, reason)
        valid = valid & (not condensed)
        new["similarity"] = method.similarity()
        new["steps"] = w["steps"] + 1.0
        new["condensed"] = w["condensed"] + float(condensed)
        new["updates"] = w["updates"] + float(valid.any())
    new |= _updated_statistics(case, method, mean, variance, valid)
    return {name: new[name] for name in names}, skipped


class _All(frozenset):
    """The names that stand for all outputs in `check.compare`."""


ALL = _All({"*"})
STATE = (
    *("moving_mean", "moving_variance", "moving_stddev"),
    *("renorm_mean", "renorm_stddev"),
    *("similarity", "steps", "updates", "condensed"),
)


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
    noise, w = method.noise, method.w
    if statistics == "average":
        total = max(sum(count[first] for first in firsts), 1)
        variance = sum(
            noise(moments.variance[:, first] * count[first] / total)
            for first in firsts
        )
        return mean, noise(variance)
    momentum = case.arguments.get("momentum", 0.99)
    updated = []
    for name, statistics in (
        ("moving_mean", moments.mean),
        ("moving_variance", moments.variance),
    ):
        average = w[name]
        for first in firsts:
            if count[first]:
                step = noise(statistics[:, first]) * (1.0 - momentum)
                average = noise(average * momentum + noise(step))
        # The layer computes one step from the old running statistics.
        updated.append(average + noise.relative(average.shape) * w[name])
    # One update with this target must equal all updates.
    if momentum < 1.0:
        return tuple(
            (after - momentum * w[name]) / (1.0 - momentum)
            for name, after in zip(
                ("moving_mean", "moving_variance"), updated, strict=True
            )
        )
    return w["moving_mean"], w["moving_variance"]
