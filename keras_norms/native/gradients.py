"""Gradients of single operations of the native library.

Layers have one custom gradient for all passes (`engine/autodiff.py`). The
gradients of this module serve `instance_moments`, and functions such as
`tf.vectorized_map` that convert the operations of a graph one by one.
"""

import tensorflow as tf

from keras_norms.native.differentiation import dense


def register(library):
    """Registers the gradients.

    Args:
        library: the module of the operations, from `tf.load_op_library`.
    """

    @tf.RegisterGradient("KerasNorms>Moments")
    def moments(operation, _, d_mean, d_variance, __):
        """dx = (2 d variance (x - mean) + d mean) / count, affine in x."""
        x, mask = operation.inputs
        d_mean, d_variance = dense(d_mean), dense(d_variance)
        count, mean, _, residual = operation.outputs
        count, residual = map(tf.stop_gradient, (count, residual))
        over_count = 1.0 / tf.maximum(count, 1.0)[:, None]
        scale = 2.0 * d_variance * over_count
        shift = d_mean * over_count - residual * scale
        empty = tf.zeros([0], "bool")
        dx = library.keras_norms_apply(
            *(x, empty, mean, scale, shift),
            activation="identity",
            **_attributes(operation, "axis", "examples"),
        )
        if mask.shape != [0]:
            shape = tf.concat(_mask_shape(tf.shape(x), operation), axis=0)
            dx = tf.where(tf.reshape(mask, shape), dx, tf.zeros_like(dx))
        return dx, None

    @tf.RegisterGradient("KerasNorms>Apply")
    def apply(operation, dy):
        x, mask, center, scale, shift = operation.inputs
        options = _attributes(operation, "axis", "examples", "activation")
        inputs = (x, dense(dy), mask, center, scale, shift)
        d_shift, d_scale = library.keras_norms_gradient_sums(
            *inputs, **options
        )
        empty = tf.zeros([0], d_scale.dtype)
        dx = library.keras_norms_gradient_combine(
            *inputs, empty, empty, **options
        )
        return dx, None, -d_shift * scale, d_scale, d_shift

    @tf.RegisterGradient("KerasNorms>GroupNorm")
    def group_norm(operation, dy, *_):
        x, *affine = operation.inputs
        dx, *d_affine = library.keras_norms_group_norm_gradient(
            *(x, dense(dy), *affine, *operation.outputs[1:4]),
            **_attributes(
                operation,
                *("groups", "epsilon", "activation", "axis", "examples"),
            ),
        )
        # The gradient of an empty gamma or beta must be empty.
        pairs = zip(affine, d_affine, strict=True)
        return dx, *(d[: tf.size(value)] for value, d in pairs)

    @tf.RegisterGradient("KerasNorms>Depthwise")
    def depthwise(operation, dy):
        x, kernel, shift = operation.inputs
        dx, d_kernel, d_shift = library.keras_norms_depthwise_gradient(
            *(x, dense(dy), kernel), **_attributes(operation, "axis", "window")
        )
        return dx, d_kernel, d_shift[: tf.shape(shift)[0]]

    for name in (
        "GradientSums",
        "GradientCombine",
        "GroupNormGradient",
        "DepthwiseGradient",
    ):
        tf.RegisterGradient(f"KerasNorms>{name}")(_refuse)


def _attributes(operation, *names):
    values = {name: operation.get_attr(name) for name in names}
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def _mask_shape(sizes, operation):
    """The sizes of x, with size 1 on the channel axis."""
    axis = operation.get_attr("axis")
    return sizes[:axis], [1], sizes[axis + 1 :]


def _refuse(operation, *_):
    raise NotImplementedError(
        "The gradient operations of the native library have no gradient. "
        f"Received: {operation.type}, which was differentiated alone, as "
        "`tf.autodiff.ForwardAccumulator` does it. Trace this code within "
        "`keras_norms.ops.using_native('never')`."
    )
