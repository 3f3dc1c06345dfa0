"""The output of each layer, from its documented formula.

`linear` returns the output before the activation, of the shape `[samples, N,
S, C]`. `used` are the moments that normalize: in training those of the batch
or of ghost batches, at inference the running statistics or their blend with
the moments of each example.
"""

import tensorflow as tf


class Method:
    """Batch normalization, and the base class of the other methods."""

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
        """A weight per channel in the shape of statistics, or `other`."""
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
        """Returns `scale * centered + shift`, and 0 in empty rows."""
        scale = self.s.over_positions(self.noise(self.expand(scale)))
        if self.case.training == "tensor false":
            # The layer reads x about a pivot near the mean of the batch.
            variance = tf.stop_gradient(self.s.moments(None).variance)
            distance = 8.0 * tf.sqrt(variance)
            distance = tf.where(tf.math.is_finite(distance), distance, 0.0)
            rounded = self.noise.relative(centered.shape)
            centered += rounded * self.s.over_positions(distance)
        y = self.noise(
            self.noise(centered * scale) + self.s.over_positions(shift)
        )
        return tf.where(present[:, None], y, 0.0)

    def expand(self, value):
        """Broadcasts a value to the shape of statistics."""
        return value + tf.zeros(self.shape, "float64")

    @property
    def block(self):
        """The number of examples that training pools over."""
        return self.arguments.get(
            "examples_per_group", self.arguments.get("ghost_batch_size")
        )

    def training_moments(self):
        return self.s.moments(self.block, self.groups)

    def instance_moments(self):
        """The moments of each example, which inference blends."""
        return self.s.moments(1, self.groups)

    def running_moments(self):
        mean, variance = self.w["moving_mean"], self.w["moving_variance"]
        return self.s.running(mean, variance, self.groups)

    def inference_moments(self):
        running = self.running_moments()
        weight = self.arguments.get("inference_weight", 0.0)
        if weight == 0.0:
            return running
        return self.s.blend(self.instance_moments(), running, weight)

    def linear(self, used, training):
        scale, shift = self.gamma, self.expand(self.beta)
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
        difference = used.pivot - self.w["renorm_mean"][:, None] + used.offset
        d = self.noise(difference) / stddev
        limit = clip.get("dmax", float("inf"))
        d = tf.clip_by_value(d, -limit, limit)
        r, d = map(self.noise, map(tf.stop_gradient, (r, d)))
        return r * self.gamma, self.noise(d * self.gamma) + self.beta

    def run(self):
        """Returns `linear` for the case."""
        if self.case.trains:
            return self.linear(self.training_moments(), True)
        return self.linear(self.inference_moments(), False)

    def running_target(self):
        """Mean, variance and count that the running statistics approach."""
        moments = self.s.moments(None)
        return moments.mean, moments.variance, moments.count


class GroupNormalization(Method):
    @property
    def groups(self):
        return self.arguments.get("groups", -1)

    def run(self):
        return self.linear(self.instance_moments(), False)


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
        shift = self.expand(self.beta)
        return self.affine(self.noise(self.s.x), scale, shift, present)


class BatchInstanceNormalization(Method):
    def linear(self, used, training):
        instance = self.s.moments(1)
        batch = self.noise(
            self.s.centered(used) * self.s.over_positions(self.rstd(used))
        )
        normalized = self.noise(
            self.s.centered(instance)
            * self.s.over_positions(self.rstd(instance))
        )
        normalized = tf.where(instance.present[:, None], normalized, 0.0)
        rho = self.s.over_positions(self.weight("rho", None))
        xhat = self.noise(rho * batch) + self.noise((1.0 - rho) * normalized)
        shift = self.expand(self.beta)
        return self.affine(xhat, self.gamma, shift, used.present)


class SwitchableNormalization(Method):
    def linear(self, used, training):
        instance, layer = self.s.moments(1), self.s.moments(1, 1)
        methods = [instance, layer, used]
        methods = methods[-self.w["mean_logits"].shape[1] :]
        share = self.noise(tf.nn.softmax(self.noise(self.w["mean_logits"])))
        share = share[:, :, None, None]
        centered = sum(
            self.noise(share[:, k : k + 1] * self.s.centered(moments))
            for k, moments in enumerate(methods)
        )
        share = tf.nn.softmax(self.noise(self.w["variance_logits"]))
        share = self.noise(share)[:, :, None, None]
        variance = sum(
            self.noise(share[:, k] * moments.variance)
            for k, moments in enumerate(methods)
        )
        mixed = type(instance)(None, None, variance, used.count)
        scale = self.rstd(mixed) * self.gamma
        shift = self.expand(self.beta)
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
        shift = self.expand(self.noise(self.beta + dbeta))
        return self.affine(self.s.centered(used), scale, shift, used.present)

    def _module(self, prefix, inputs):
        activations = {
            "relu": tf.nn.relu,
            "tanh": tf.tanh,
            "sigmoid": tf.sigmoid,
            None: tf.identity,
        }
        for name in ("hidden", "output"):
            kernel = self.noise(self.w[f"{prefix}{name}_kernel"])
            inputs = self.noise(tf.matmul(inputs, kernel))
            bias = self.w.get(f"{prefix}{name}_bias")
            if bias is not None:
                inputs = self.noise(inputs + self.noise(bias)[:, None])
            activation = self.arguments[f"{name}_activation"]
            result = self.noise(activations[activation](inputs))
            inputs = self.noise.slope(inputs, result)
        return inputs
