"""The kernels for GPUs, checked and timed without TensorFlow or Keras."""
