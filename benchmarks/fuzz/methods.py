"""What each layer computes, from its documented formula.

Each function returns `linear`, the output before the activation, `[samples,
N, S, C]`. `used` are the moments that take the place of the batch's: in
training those of the batch or of ghost batches, at inference the running ones
or their blend with each example's.
"""

import tensorflow as tf


class Method:
    """Batch norm, group norm and the like."""

    groups = -1

    def __init__(self, case, statistics, weights, noise):
        self.case = case
        self.arguments = case.arguments
        self.epsilon = case.epsilon
        self.s = statistics
        self.w = weights
        self.noise = noise
        self.shape = (noise.samples, statistics.examples, statistics.channels)

    def weight(self, name, other):
        """A weight of each channel, for tables."""
        if name not in self.w:
            return other
        return self.noise.broadcast(
            self.noise(self.w[name])[:, None], self.shape
        )

    @property
    def gamma(self):
        return self.weight("gamma", 1.0)

    @property
    def beta(self):
        return self.weight("beta", 0.0)

    def rstd(self, moments, epsilon=None):
        epsilon = self.epsilon if epsilon is None else epsilon
        variance = tf.where(moments.present, moments.variance, 1.0)
        return self.noise(tf.math.rsqrt(self.noise(variance + epsilon)))

    def affine(self, centered, scale, shift, present):
        """`scale * centered + shift`, 0 where there is nothing."""
        scale = self.s.over_positions(self.noise(self.whole(scale)))
        if self.case.training == "tensor false":
            # x is read about a value some deviations from the batch's mean.
            variance = tf.stop_gradient(self.s.moments(None).variance)
            away = 8.0 * tf.sqrt(variance)
            away = tf.where(tf.math.is_finite(away), away, 0.0)
            rounded = self.noise.relative(centered.shape)
            centered += rounded * self.s.over_positions(away)
        y = self.noise(
            self.noise(centered * scale) + self.s.over_positions(shift)
        )
        return tf.where(present[:, None], y, 0.0)

    def whole(self, table):
        """A number, or one a channel, in the shape of tables."""
        return table + tf.zeros(self.shape, "float64")

    @property
    def block(self):
        """How many examples statistics are pooled over in training."""
        return self.arguments.get(
            "examples_per_group", self.arguments.get("ghost_batch_size")
        )

    def training_moments(self):
        return self.s.moments(self.block, self.groups)

    def own_moments(self):
        """Of each example, as inference blends them."""
        return self.s.moments(1, self.groups)

    def running_moments(self):
        mean, variance = self.w["moving_mean"], self.w["moving_variance"]
        return self.s.running(mean, variance, self.groups)

    def inference_moments(self):
        running = self.running_moments()
        weight = self.arguments.get("inference_weight", 0.0)
        if weight == 0.0:
            return running
        return self.s.blend(self.own_moments(), running, weight)

    def linear(self, used, training):
        scale, shift = self.gamma, self.whole(self.beta)
        if training and self.arguments.get("renorm"):
            scale, shift = self._renorm(used)
        scale = self.rstd(used) * scale
        return self.affine(self.s.centered(used), scale, shift, used.present)

    def _renorm(self, used):
        clip = self.arguments.get("renorm_clipping") or {}
        stddev = tf.maximum(self.w["renorm_stddev"], self.epsilon**0.5)
        stddev = stddev[:, None]
        r = tf.sqrt(used.variance + self.epsilon) / stddev
        r = tf.maximum(r, clip.get("rmin", 0.0))
        r = tf.minimum(r, clip.get("rmax", float("inf")))
        away = used.pivot - self.w["renorm_mean"][:, None] + used.offset
        d = self.noise(away) / stddev
        limit = clip.get("dmax", float("inf"))
        d = tf.clip_by_value(d, -limit, limit)
        r, d = map(self.noise, map(tf.stop_gradient, (r, d)))
        return r * self.gamma, self.noise(d * self.gamma) + self.beta

    def run(self):
        """`linear` of the case."""
        if self.case.trains:
            return self.linear(self.training_moments(), True)
        return self.linear(self.inference_moments(), False)

    def followed(self):
        """Mean and variance of the batch that running averages follow."""
        moments = self.s.moments(None)
        return moments.mean, moments.variance, moments.count


class GroupNormalization(Method):
    @property
    def groups(self):
        return self.arguments.get("groups", -1)

    def run(self):
        return self.linear(self.own_moments(), False)


class BatchGroupNormalization(Method):
    @property
    def groups(self):
        return self.arguments["groups"]


class FilterResponseNormalization(Method):
    def run(self):
        count = self.s.counts(1, self.s.channels)
        square = self.noise(tf.square(self.noise(self.s.x)))
        square = self.s.mean_of(square, 1, self.s.channels, count)
        epsilon = self.epsilon
        if "epsilon_weight" in self.w:
            epsilon = epsilon + tf.abs(self.weight("epsilon_weight", 0.0))
        present = count > 0
        square = tf.where(present, self.noise(square), 1.0)
        scale = self.noise(tf.math.rsqrt(self.noise(square + epsilon)))
        scale = scale * self.gamma
        shift = self.whole(self.beta)
        return self.affine(self.noise(self.s.x), scale, shift, present)


class BatchInstanceNormalization(Method):
    def linear(self, used, training):
        own = self.s.moments(1)
        batch = self.noise(
            self.s.centered(used) * self.s.over_positions(self.rstd(used))
        )
        instance = self.noise(
            self.s.centered(own) * self.s.over_positions(self.rstd(own))
        )
        instance = tf.where(own.present[:, None], instance, 0.0)
        rho = self.s.over_positions(self.weight("rho", None))
        xhat = self.noise(rho * batch) + self.noise((1.0 - rho) * instance)
        shift = self.whole(self.beta)
        return self.affine(xhat, self.gamma, shift, used.present)


class SwitchableNormalization(Method):
    def linear(self, used, training):
        own, layer = self.s.moments(1), self.s.moments(1, 1)
        of = [own, layer, used]
        share = self.noise(tf.nn.softmax(self.noise(self.w["mean_logits"])))
        share = share[:, :, None, None]
        centered = sum(
            self.noise(share[:, k : k + 1] * self.s.centered(moments))
            for k, moments in enumerate(of)
        )
        share = tf.nn.softmax(self.noise(self.w["variance_logits"]))
        share = self.noise(share)[:, :, None, None]
        variance = sum(
            self.noise(share[:, k] * moments.variance)
            for k, moments in enumerate(of)
        )
        mixed = type(own)(None, None, variance, used.count)
        scale = self.rstd(mixed) * self.gamma
        shift = self.whole(self.beta)
        return self.affine(centered, scale, shift, used.present)


class DynamicNormalization(Method):
    def linear(self, used, training):
        source = used
        if self.arguments["scope"] == "example":
            source = self.s.moments(1)
        elif not training and self.arguments["inference_statistics"] == (
            "batch"
        ):
            source = self.s.moments(None)
        mean = self.noise(source.mean)
        variance = tf.maximum(source.variance + self.epsilon, 1e-30)
        deviation = self.noise(tf.sqrt(self.noise(variance)))
        if self.arguments["separate"]:
            dgamma = self._module("scale_", deviation)
            dbeta = self._module("shift_", mean)
        else:
            both = self._module("", tf.concat([mean, deviation], axis=2))
            dgamma, dbeta = tf.split(both, 2, axis=2)
        scale = self.rstd(used) * self.noise(self.gamma + dgamma)
        shift = self.whole(self.noise(self.beta + dbeta))
        return self.affine(self.s.centered(used), scale, shift, used.present)

    def _module(self, prefix, table):
        activations = {
            "relu": tf.nn.relu,
            "tanh": tf.tanh,
            "sigmoid": tf.sigmoid,
            None: tf.identity,
        }
        for name in ("hidden", "output"):
            kernel = self.noise(self.w[f"{prefix}{name}_kernel"])
            table = self.noise(tf.matmul(table, kernel))
            bias = self.w.get(f"{prefix}{name}_bias")
            if bias is not None:
                table = self.noise(table + self.noise(bias)[:, None])
            activation = self.arguments[f"{name}_activation"]
            result = self.noise(activations[activation](table))
            table = self.noise.slope(table, result)
        return table
