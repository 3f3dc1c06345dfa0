"""Trains one model under several strategies, and prints its weights.

It runs in a process without other strategies. TensorFlow takes the first
all-reduces of all strategies for the same devices for the same ones, and
refuses them if their dtypes differ, as those of other tests do.
"""

import json

import tensorflow as tf

from tests.conftest import REPLICAS
from tests.distribution.test_deep_models import weights_after

DEVICES = [f"CPU:{index}" for index in range(REPLICAS)]
REDUCTIONS = (
    None,
    None,
    tf.distribute.HierarchicalCopyAllReduce(),
    tf.distribute.ReductionToOneDevice(),
)


def main():
    weights = [
        weights_after(
            tf.distribute.MirroredStrategy(
                DEVICES, cross_device_ops=reduction
            ),
            layers=20,
            steps=5,
        )
        for reduction in REDUCTIONS
    ]
    print(json.dumps([[each.tolist() for each in w] for w in weights]))


if __name__ == "__main__":
    main()
