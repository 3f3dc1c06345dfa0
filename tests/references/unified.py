"""Unified batch normalization in float64, from the authors' formulas.

Arrays have the channels last. Gradients come from TensorFlow's tape over
operations of numpy's names, which share no code with the package.
"""

import itertools

import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from tests.references.convolution import convolution

EPSILON = 1e-5
MOMENTUM = 0.9


def cosine(x, examples=16):
    """The mean cosine of the pairs of the first examples; 1 for one."""
    f = np.reshape(x[:examples], (min(len(x), examples), -1))
    if len(f) == 1:
        return 1.0
    f = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    pairs = list(itertools.permutations(range(len(f)), 2))
    return float(np.mean([f[n] @ f[k] for n, k in pairs]))


class Unified:
    """The state of the layer on one or several replicas.

    Args:
        w: the weights by name, `center_weight`, `scale_weight`, `scale_bias`,
            `kernel` and `bias`, in float64.
        bound: the threshold of the moving average of the cosine.
        momentum: that of the moving average of the cosine.
    """

    def __init__(self, w, bound, momentum=0.9):
        self.w = {name: np.asarray(v, "float64") for name, v in w.items()}
        self.bound, self.momentum = bound, momentum
        channels = len(self.w["bias"])
        self.mean, self.variance = np.zeros(channels), np.ones(channels)
        self.similarity = 1.0

    def step(self, shards, upstream, synchronized=False):
        """One training step: y and dx of each shard, and summed gradients."""
        sizes = np.cumsum([len(x) for x in shards])[:-1]
        if synchronized and len(shards) > 1:
            joined = [np.concatenate(shards)], [np.concatenate(upstream)]
            (y,), (dx,), gradients = self.step(*joined)
            return np.split(y, sizes), np.split(dx, sizes), gradients
        average = np.mean([cosine(x) for x in shards])
        self.similarity = (
            self.momentum * self.similarity + (1 - self.momentum) * average
        )
        is_open = self.similarity > self.bound
        results = [
            self._one(x, dy, is_open)
            for x, dy in zip(shards, upstream, strict=True)
        ]
        if is_open:
            counts = [len(x) for x in shards]
            for name in ("mean", "variance"):
                batch = np.average(
                    [r[name] for r in results], axis=0, weights=counts
                )
                old = getattr(self, name)
                new = MOMENTUM * old + (1 - MOMENTUM) * batch
                setattr(self, name, new)
        gradients = {
            name: sum(r["gradients"][name] for r in results) for name in self.w
        }
        y, dx = ([r[name] for r in results] for name in ("y", "dx"))
        return y, dx, gradients

    def infer(self, x):
        w = {name: tf.constant(v) for name, v in self.w.items()}
        return self._output(tf.constant(x), w, (self.mean, self.variance))[0]

    def _one(self, x, dy, is_open):
        x = tf.constant(x, "float64")
        w = {name: tf.constant(v) for name, v in self.w.items()}
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            moments = None if is_open else (self.mean, self.variance)
            y, mean, variance = self._output(x, w, moments)
        dx, gradients = tape.gradient(
            y, [x, w], tf.constant(dy), unconnected_gradients="zero"
        )
        return {
            "y": y.numpy(),
            "dx": dx.numpy(),
            "gradients": {n: g.numpy() for n, g in gradients.items()},
            "mean": np.asarray(mean),
            "variance": np.asarray(variance),
        }

    def _output(self, x, w, moments):
        positions = tuple(range(1, len(x.shape) - 1))
        batch = (0, *positions)

        def pooled(values):
            if not positions:
                return values
            return tnp.mean(values, axis=positions, keepdims=True)

        x = x + w["center_weight"] * pooled(x)
        if moments is None:
            mean = tnp.mean(x, axis=batch)
            moments = mean, tnp.mean((x - mean) ** 2, axis=batch)
        mean, variance = moments
        z = (x - mean) / tnp.sqrt(variance + EPSILON)
        t = convolution(tnp, z, w["kernel"]) + w["bias"]
        gate = w["scale_weight"] * pooled(z) + w["scale_bias"]
        return t / (1.0 + tnp.exp(-gate)), mean, variance
