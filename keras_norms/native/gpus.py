"""Whether the library's kernels run on the GPUs that TensorFlow sees."""

from keras_norms.native import cache
from keras_norms.native.errors import REBUILD
from keras_norms.native.errors import UnusableError
from keras_norms.native.errors import explained
from keras_norms.native.loader import load
from keras_norms.native.loader import once

# [batch, sizes]: vectors of 16 bytes fit both axes of the first shape, and
# neither of the second's; a row of the third is read by a cluster of blocks.
_SHAPES = ((2, 16, 16), (2, 6, 6), (1, 1024, 16))
_DTYPES = ("float32", "float16", "bfloat16")


def serve_gpus(capabilities):
    """Whether the kernels run on the GPUs of these compute capabilities.

    Arguments:
        capabilities: (major, minor) each, or None for what is not NVIDIA's.

    Raises: `UnusableError` where they do not on one.
    """
    _have_kernels(capabilities)
    once("kernels on GPUs", _probe_gpus)


def _have_kernels(capabilities):
    """Machine code is for its architecture and later minor versions of it,
    PTX for all that came after it.
    """
    built = cache.gpus()
    if not built:
        raise UnusableError(
            "It has been built without kernels for GPUs. `pip install "
            "nvidia-cuda-nvrtc-cu12`, and build it again with `python -m "
            "keras_norms build`."
        )
    codes = [divmod(int(n[3:]), 10) for n in built if n.startswith("sm_")]
    later = "compute_90" in built
    for capability in capabilities:
        if capability is None:
            raise UnusableError(
                "It has kernels for NVIDIA's GPUs alone, and here is another."
            )
        major, minor = capability
        code = any(m == major and n <= minor for m, n in codes)
        if not code and not (later and capability >= (9, 0)):
            raise UnusableError(
                "It has no kernels for a GPU of compute capability "
                f"{major}.{minor}, but for {', '.join(built)}."
            )


def _probe_gpus():
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU")
    probe(load(), [device.name for device in devices])
    return True


def probe(operations, devices):
    """Runs every kernel once on each device, on small tensors.

    A driver may refuse an image that is there for its GPU, or a launch; the
    first training step would be the first to tell.

    Raises: `UnusableError` with what the driver said.
    """
    import tensorflow as tf

    # The first call of a layer may come while a graph is traced.
    with tf.init_scope():
        if not tf.executing_eagerly():
            return
        for name in devices:
            failing = explained(
                f"The kernels of the native library do not run on {name}",
                f"Update the GPU's driver. {REBUILD}",
            )
            with failing, tf.device(name):
                for shape in _SHAPES:
                    for dtype in _DTYPES:
                        for axis in (1, 2):
                            for activation in ("identity", "silu"):
                                x = tf.ones(shape, dtype)
                                _run(tf, operations, x, axis, activation)


def _run(tf, operations, x, axis, activation):
    layout = {"axis": axis, "examples": 1}
    how = {"activation": activation, **layout}
    mask = tf.zeros([0], "bool")
    _, *line = operations.keras_norms_moments(x, mask, S=tf.float32, **layout)
    given = (mask, *line)
    y = operations.keras_norms_apply(x, *given, **how)
    sums = operations.keras_norms_gradient_sums(x, y, *given, **how)
    dx = operations.keras_norms_gradient_combine(x, y, *given, *sums, **how)
    affine = tf.ones([2, x.shape[axis]])
    how = {"activation": activation, "axis": axis, "groups": 2}
    how["epsilon"] = "0.001"
    y, *moments = operations.keras_norms_group_norm(x, *affine, **how)
    gradients = operations.keras_norms_group_norm_gradient(
        x, y, *affine, *moments, **how
    )
    # A GPU runs kernels later: their failures come with their results.
    for result in (dx, *gradients):
        result.numpy()
