"""The gradient of a normalization, for TensorFlow.

Besides small tensors, x in its own dtype is all that the backward pass keeps.
"""

import functools
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_norms.engine.backend import Backend
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.native import tracing
from keras_norms.types import Tensor

_UNKNOWN_VARIABLES = (
    "Gradients reach the input and the parameters of the two passes only, "
    "and other variables were read there. Received: {}. Pass them as "
    "parameters, which a subclass adds to the property `parameters`, and "
    "apply an activation that has weights after the layer."
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
    names, masks = list(present), [] if mask is None else [mask]

    @tracing.custom_gradient
    def run(x: Tensor, *tensors: Tensor) -> Any:
        mask, arguments = unpack(tensors)
        passes = backend(spec, x, mask)
        y, updates, saved = passes.forward(x, arguments)
        updates = tf.nest.map_structure(tf.stop_gradient, updates)

        def gradient(dy: Tensor, *_: Any, variables: Any = None) -> list[Any]:
            if variables:
                found = [variable.name for variable in variables]
                raise ValueError(_UNKNOWN_VARIABLES.format(found))
            # Without the control dependency, common subexpression
            # elimination would keep the forward pass's copies of x (its cast
            # to float32, its shift) for the backward pass.
            with tf.control_dependencies([dy]):
                x_again = tf.identity(x)

            def first(x: Tensor, dy: Tensor, *_: Any) -> tuple[Tensor, ...]:
                dx, gradients = passes.backward(x, dy, saved)
                return dx, *gradients

            if second_order is not None:
                forward = functools.partial(run_forward, second_order)
                first = _with_gradient(first, forward)
            gradients = iter(first(x_again, dy, *map(tf.identity, tensors)))
            return [
                next(gradients) if tensor.dtype.is_floating else None
                for tensor in (x, *tensors)
            ]

        return (y, updates), gradient

    def unpack(tensors: Sequence[Tensor]) -> tuple[Tensor | None, Params]:
        mask = tensors[0] if masks else None
        values = tensors[len(masks) :]
        return mask, params.replace(**dict(zip(names, values, strict=True)))

    def run_forward(
        backend: type[Backend], x: Tensor, *tensors: Tensor
    ) -> Tensor:
        mask, arguments = unpack(tensors)
        return differentiable(backend, spec, x, mask, arguments)[0]

    return run(x, *masks, *present.values())


def _with_gradient(
    first: Callable[..., Any], forward: Callable[..., Tensor]
) -> Callable[..., Any]:
    """A gradient whose own gradient is derived from `forward`."""

    @tracing.custom_gradient
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
