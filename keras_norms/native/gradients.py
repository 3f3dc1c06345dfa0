"""Gradients of single operations of the native library.

Layers bring gradients of their own, for the whole of the two passes
(`ops/gradient.py`). These are for what takes graphs apart, as
`tf.vectorized_map` does, and for `instance_moments`.
"""

import tensorflow as tf

from keras_norms.native.differentiation import dense


def register(library):
    """For a library's operations, a module as TensorFlow makes it."""

    @tf.RegisterGradient("KerasNorms>Moments")
    def moments(operation, _, d_mean, d_variance, __):
        """A line over x, 2 d variance (x - mean) / count + d mean / count."""
        x, mask = operation.inputs
        d_mean, d_variance = dense(d_mean), dense(d_variance)
        count, mean, _, residual = operation.outputs
        count, residual = map(tf.stop_gradient, (count, residual))
        over = 1.0 / tf.maximum(count, 1.0)[:, None]
        scale = 2.0 * d_variance * over
        shift = d_mean * over - residual * scale
        empty = tf.zeros([0], "bool")
        dx = library.keras_norms_apply(
            *(x, empty, mean, scale, shift),
            activation="identity",
            **_attributes(operation, "axis", "examples"),
        )
        if mask.shape != [0]:
            shape = tf.concat(_without(tf.shape(x), operation), axis=0)
            dx = tf.where(tf.reshape(mask, shape), dx, tf.zeros_like(dx))
        return dx, None

    @tf.RegisterGradient("KerasNorms>Apply")
    def apply(operation, dy):
        x, mask, *tables = operation.inputs
        how = _attributes(operation, "axis", "examples", "activation")
        given = (x, dense(dy), mask, *tables)
        d_shift, d_scale = library.keras_norms_gradient_sums(*given, **how)
        none = tf.zeros([0], d_scale.dtype)
        dx = library.keras_norms_gradient_combine(*given, none, none, **how)
        return dx, None, -d_shift * tables[1], d_scale, d_shift

    @tf.RegisterGradient("KerasNorms>GroupNorm")
    def group_norm(operation, dy, *_):
        x, *affine = operation.inputs
        dx, *d_affine = library.keras_norms_group_norm_gradient(
            *(x, dense(dy), *affine, *operation.outputs[1:]),
            **_attributes(
                operation, "groups", "epsilon", "activation", "axis"
            ),
        )
        # Those that were empty stay so.
        pairs = zip(affine, d_affine, strict=True)
        return dx, *(d[: tf.size(value)] for value, d in pairs)

    for name in ("GradientSums", "GradientCombine", "GroupNormGradient"):
        tf.RegisterGradient(f"KerasNorms>{name}")(_refuse)


def _attributes(operation, *names):
    found = {name: operation.get_attr(name) for name in names}
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in found.items()
    }


def _without(sizes, operation):
    """Sizes but for a 1 at the channel axis."""
    axis = operation.get_attr("axis")
    return sizes[:axis], [1], sizes[axis + 1 :]


def _refuse(operation, *_):
    raise NotImplementedError(
        "The native library differentiates once, and layers as a whole "
        f"again; {operation.type} was to be differentiated by itself, as "
        "`tf.autodiff.ForwardAccumulator` does. Trace such code within "
        "`keras_norms.ops.using_native('never')`."
    )
