"""One training step of a layer under MirroredStrategy."""

import numpy as np
import tensorflow as tf

from tests.conformance.descriptors import CHANNELS
from tests.conformance.descriptors import Descriptor
from tests.conformance.training_step import assign_affine
from tests.conftest import REPLICAS

# The numbers of examples of the replicas, for each number of replicas.
SHARDS = {
    2: [(4, 4), (3, 1), (4, 0), (0, 3)],
    3: [(3, 1, 4), (2, 0, 3)],
    4: [(2, 2, 2, 2), (3, 1, 4, 0), (0, 0, 1, 0)],
}[REPLICAS]
CROSS = Descriptor("CrossReplicaBatchNormalization", {})


class Run:
    """One training step of a layer over uneven shards."""

    def __init__(self, strategy, descriptor, shards, **data):
        self.strategy = strategy
        self.descriptor = descriptor
        dtype = data.pop("dtype", "float32")
        arguments = data.pop("arguments", {})
        rng = np.random.default_rng(0)
        scale = np.arange(1, CHANNELS + 1)
        means = data.get("means", [data.get("mean", 0.0)] * REPLICAS)
        shape = (4, 3, CHANNELS)
        self.x = [
            (rng.normal(size=(n, *shape)) * scale + mean).astype(dtype)
            for n, mean in zip(shards, means, strict=True)
        ]
        self.dy = [rng.normal(size=x.shape).astype(dtype) for x in self.x]
        self.mask = [rng.random(x.shape[:2]) < 0.6 for x in self.x]
        with strategy.scope():
            self.layer = descriptor.create(dtype=dtype, **arguments)
            self.layer.build((None, *shape))
            for variable in self.layer.trainable_variables:
                variable.assign(rng.uniform(0.2, 0.8, variable.shape))
            assign_affine(
                self.layer,
                np.linspace(0.5, 2, CHANNELS),
                np.linspace(-1, 1, CHANNELS),
            )
            self.weights = {
                v.name: v.numpy() for v in self.layer.trainable_variables
            }
        masked = data.get("masked", False)
        inputs = [self._spread(self.x), self._spread(self.dy)]
        if masked:
            inputs.append(self._spread(self.mask))
        step = tf.function(lambda *a: strategy.run(self._step, a))
        self.results = [
            [np.asarray(v) for v in self.local(result)]
            for result in step(*inputs)
        ]
        self.graph = step.get_concrete_function(*inputs).graph
        if not masked:
            self.mask = None

    def _spread(self, values):
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                values[context.replica_id_in_sync_group]
            )
        )

    def _step(self, x, dy, mask=None):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.layer(x, training=True, mask=mask)
        sources = [x, *(v.value for v in self.layer.trainable_variables)]
        return y, *tape.gradient(y, sources, dy)

    def local(self, value):
        return self.strategy.experimental_local_results(value)

    def collectives(self):
        """The number of all-reduces per replica."""
        kinds = [operation.type for operation in self.graph.get_operations()]
        return kinds.count("CollectiveReduceV2") / REPLICAS

    def joined(self):
        """y, dx and the gradients of the weights, joined over replicas."""
        y, dx, *gradients = self.results
        names = ["y", "dx", *self.weights]
        joined = [np.concatenate(y), np.concatenate(dx), *map(sum, gradients)]
        return dict(zip(names, joined, strict=True))

    def inputs(self):
        mask = None if self.mask is None else np.concatenate(self.mask)
        return np.concatenate(self.x), np.concatenate(self.dy), mask

    def expected(self):
        x, dy, mask = self.inputs()
        return self.descriptor.expected(x, dy, self.weights, -1, mask)
