"""Sets the number of replicas: TensorFlow allows one number per process."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

from keras_norms.statistics import replica_groups
from tests.support import gpu_build

if "KERAS_NORMS_TEST_SUMS" in os.environ:
    # What more replicas send than these tests have.
    replica_groups.LARGEST_TABLE = 0

REPLICAS = int(os.environ.get("KERAS_NORMS_TEST_REPLICAS", "2"))

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
)


@pytest.fixture(scope="session")
def strategy():
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(REPLICAS)]
    )


@pytest.fixture(scope="session")
def gpu_library():
    """The kernels for GPUs, and the driver that emulates one."""
    gpu_build.build()
