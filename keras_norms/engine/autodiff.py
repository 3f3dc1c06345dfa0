"""The gradient of a normalization, for TensorFlow.

The backward pass keeps x, in its own dtype, and small tensors.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_norms.engine.backend import Backend
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native import differentiation
from keras_norms.types import Tensor

_UNKNOWN_VARIABLES = (
    "An algebra and an activation must read no variables, because gradients "
    "are computed for the input and the parameters only. Received: {}. Pass "
    "variables as parameters (a custom layer extends the property "
    "`parameters`), and apply an activation that has weights after the layer."
)


def differentiable(
    backend: type[Backend],
    spec: NormSpec,
    x: Tensor,
    mask: Tensor | None,
    params: Params,
    second_order: type[Backend] | None = None,
) -> tuple[Tensor, Any]:
    """y and the updates, differentiable in x and in the parameters.

    Every tensor is an argument of the differentiated function. A loop or an
    inner `tf.function` differentiates in another graph, which sees arguments
    and nothing else.

    Args:
        backend: computes the passes and their gradient.
        spec, x, mask, params: what it computes.
        second_order: another backend, whose operations TensorFlow can
            differentiate, for the gradient of the gradient. `None` where
            `backend` is one of these.
    """
    present = params.present()
    masks = [] if mask is None else [mask]

    def unpack(tensors: Sequence[Tensor]) -> tuple[Tensor | None, Params]:
        """The mask and the parameters, which follow x in the arguments."""
        own_mask, values = tensors[: len(masks)], tensors[len(masks) :]
        own_params = params.replace(**dict(zip(present, values, strict=True)))
        return (own_mask[0] if own_mask else None), own_params

    @differentiation.custom_gradient
    def run(x: Tensor, *tensors: Tensor) -> Any:
        own_mask, own_params = unpack(tensors)
        passes = backend(spec, x, own_mask)
        y, updates, saved = passes.forward(x, own_params)
        updates = tf.nest.map_structure(tf.stop_gradient, updates)

        def gradient(dy: Tensor, *_: Any, variables: Any = None) -> list[Any]:
            if variables:
                unknown = [variable.name for variable in variables]
                raise ValueError(_UNKNOWN_VARIABLES.format(unknown))
            # Without the control dependency, common subexpression
            # elimination would keep the forward pass's copies of x (its cast
            # to float32, its shift) for the backward pass.
            with tf.control_dependencies([dy]):
                x_again = tf.identity(x)

            def first(x: Tensor, dy: Tensor, *_: Any) -> tuple[Tensor, ...]:
                dx, gradients = passes.backward(x, dy, saved)
                return dx, *gradients

            if second_order is not None:
                first = _with_gradient(first, forward)
            gradients = iter(first(x_again, dy, *map(tf.identity, tensors)))
            return [
                next(gradients) if tensor.dtype.is_floating else None
                for tensor in (x, *tensors)
            ]

        return (y, updates), gradient

    def forward(x: Tensor, *tensors: Tensor) -> Tensor:
        """y by the backend whose operations TensorFlow differentiates."""
        assert second_order is not None
        return differentiable(second_order, spec, x, *unpack(tensors))[0]

    return run(x, *masks, *present.values())


def _with_gradient(
    first: Callable[..., Any], forward: Callable[..., Tensor]
) -> Callable[..., Any]:
    """A gradient whose own gradient is derived from `forward`."""

    @differentiation.custom_gradient
    def run(x: Tensor, dy: Tensor, *tensors: Tensor) -> Any:
        def second(*upstream: Tensor) -> list[Tensor]:
            # Copies, since a loop's gradient reads these from another graph,
            # and no tape sees that read.
            x_, dy_, *tensors_ = map(tf.identity, (x, dy, *tensors))
            inputs = [t for t in (x_, *tensors_) if t.dtype.is_floating]
            with tf.GradientTape() as outer:
                outer.watch([dy_, *inputs])
                with tf.GradientTape() as inner:
                    inner.watch(inputs)
                    y = forward(x_, *tensors_)
                gradients = inner.gradient(
                    y, inputs, dy_, unconnected_gradients="zero"
                )
            return outer.gradient(
                gradients,
                [x_, dy_, *tensors_],
                upstream,
                unconnected_gradients="zero",
            )

        return first(x, dy, *tensors), second

    return run
