"""Checks that the kernels run on the GPUs that TensorFlow uses."""

from keras_norms.native import cache
from keras_norms.native.errors import REBUILD
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import raising_unusable
from keras_norms.native.loader import load
from keras_norms.native.loader import run_once

# Shapes [batch, size, size]. In the first one, both sizes are multiples of a
# vector of 16 bytes, and in the second one, neither is. A cluster of blocks
# reads a row of the third one.
_SHAPES = ((2, 16, 16), (2, 6, 6), (1, 1024, 16))
_DTYPES = ("float32", "float16", "bfloat16")
# Those with separate kernels, and one of the others.
_ACTIVATIONS = ("identity", "relu", "silu", "relu6")


def check_gpus(capabilities):
    """Checks that the kernels run on every GPU.

    Args:
        capabilities: the compute capability of each GPU, `(major, minor)`, or
            `None` for a GPU that is not NVIDIA's.

    Raises: `UnusableError` if they do not run on one of them.
    """
    _check_architectures(capabilities)
    run_once("kernels on GPUs", _probe_gpus)


def _check_architectures(capabilities):
    """Checks that the library has a kernel for each compute capability.

    Machine code runs on its architecture and on later minor versions of it.
    PTX runs on all later architectures.
    """
    built = cache.gpus()
    if not built:
        raise UnusableError(
            "The native library has been built without kernels for GPUs. "
            "Run `pip install nvidia-cuda-nvrtc-cu12`, and build it again "
            "with `python -m keras_norms build`."
        )
    codes = [divmod(int(n[3:]), 10) for n in built if n.startswith("sm_")]
    later = "compute_90" in built
    for capability in capabilities:
        if capability is None:
            raise UnusableError(
                "The native library has kernels for NVIDIA GPUs only. "
                "TensorFlow uses a GPU of another vendor."
            )
        major, minor = capability
        code = any(m == major and n <= minor for m, n in codes)
        if not code and not (later and capability >= (9, 0)):
            raise UnusableError(
                "The native library must have kernels for a GPU of compute "
                f"capability {major}.{minor}. It has kernels for "
                f"{', '.join(built)}."
            )


def _probe_gpus():
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU")
    probe(load(), [device.name for device in devices])
    return True


def probe(operations, devices):
    """Runs every kernel once on each device, on small tensors.

    A driver may refuse a cubin that was built for its GPU, or a launch.
    Without the probe, the first training step would fail.

    Raises: `UnusableError` with the driver's message.
    """
    import tensorflow as tf

    # A layer may be called for the first time while a graph is traced.
    with tf.init_scope():
        if not tf.executing_eagerly():
            return
        for name in devices:
            converting = raising_unusable(
                f"The kernels of the native library do not run on {name}",
                f"Update the GPU's driver. {REBUILD}",
            )
            with converting, tf.device(name):
                for shape in _SHAPES:
                    for dtype in _DTYPES:
                        for axis in (1, 2):
                            for activation in _ACTIVATIONS:
                                x = tf.ones(shape, dtype)
                                _launch(tf, operations, x, axis, activation)


def _launch(tf, operations, x, axis, activation):
    layout = {"axis": axis, "examples": 1}
    options = {"activation": activation, **layout}
    mask = tf.zeros([0], "bool")
    # The values do not matter, so the moments serve as coefficients.
    _, *coefficients = operations.keras_norms_moments(
        x, mask, S=tf.float32, **layout
    )
    inputs = (mask, *coefficients)
    y = operations.keras_norms_apply(x, *inputs, **options)
    sums = operations.keras_norms_gradient_sums(x, y, *inputs, **options)
    dx = operations.keras_norms_gradient_combine(
        x, y, *inputs, *sums, **options
    )
    gamma, beta = tf.ones([2, x.shape[axis]])
    options.update(groups=2, epsilon="0.001")
    y, *saved, _ = operations.keras_norms_group_norm(x, gamma, beta, **options)
    gradients = operations.keras_norms_group_norm_gradient(
        x, y, gamma, beta, *saved, **options
    )
    # A GPU runs kernels asynchronously. Reading the results raises errors.
    for result in (dx, *gradients):
        result.numpy()
