"""TensorFlow's operations of the native library, on an emulated GPU.

`python -m tests.native.emulated_gpu LIBRARY` runs the probe of GPUs by them
and prints what it raised. TensorFlow has no GPU here; the kernels are called
by benchmarks/gpu, and CUDA's driver is the one in LD_LIBRARY_PATH.
"""

import functools
import sys

import numpy as np
import tensorflow as tf

from benchmarks.gpu import arrays
from benchmarks.gpu import library
from keras_norms.native import gpus
from keras_norms.native.errors import UnusableError


class Operations:
    """What `loader.load` returns, of examples of rank 3."""

    def __init__(self, path):
        self.memory = arrays.Numpy()
        self.kernels = library.Kernels(self.memory, path)
        for name in library.OPERATIONS:
            function = functools.partial(self.call, name)
            setattr(self, f"keras_norms_{name}", function)

    def call(
        self,
        kernel,
        *tensors,
        axis,
        activation="identity",
        groups=None,
        epsilon="0",
        examples=1,
        S=None,  # noqa: N803
    ):
        assert examples == 1
        names, results, _ = library.OPERATIONS[kernel]
        x = tensors[0]
        rows, channels = x.shape[0], x.shape[axis]
        outer, inner = (x.shape[1], 1) if axis == 2 else (1, x.shape[2])
        arrays = {
            name: self.memory.put(tensor.numpy())
            for name, tensor in zip(names, tensors, strict=True)
            if tensor.shape[0]
        }
        written = {}
        for name in results:
            shape, dtype = (rows, groups or channels), np.float32
            if name == "result":
                shape, dtype = x.shape, x.dtype.as_numpy_dtype
            elif name == "count":
                shape = (rows,)
            elif name in ("d_gamma", "d_beta"):
                shape = (channels,)
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            arrays[name] = self.memory.poisoned(size)
            written[name] = arrays[name].view(dtype).reshape(shape)
        view = library.View(rows, outer, channels, inner)
        try:
            self.kernels.run(
                *(kernel, view, x.dtype.name, activation, groups or 1),
                float(epsilon),
                **arrays,
            )
        except RuntimeError as error:
            # As `OnGpu::Run` of tf_ops/tensorflow.
            words = f"keras_norms: {error}"
            raise tf.errors.InternalError(None, None, words) from None
        for array in written.values():
            assert not np.isnan(array.astype("float32")).any()
        tensors = [tf.constant(written[name]) for name in results]
        return tensors if len(tensors) > 1 else tensors[0]


if __name__ == "__main__":
    try:
        gpus.probe(Operations(sys.argv[1]), ["/device:CPU:0"])
    except UnusableError as refused:
        print(refused)
    else:
        print("passed")
