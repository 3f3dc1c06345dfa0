"""The gradient of a normalization, for TensorFlow.

The forward pass saves x, the mask and small tensors for the backward pass.
"""

from collections.abc import Callable
from collections.abc import Mapping
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


def normalize_with_gradient(
    backend_class: type[Backend],
    spec: NormSpec,
    x: Tensor,
    mask: Tensor | None,
    params: Params,
    second_order_class: type[Backend] | None = None,
) -> tuple[Tensor, Any, Mapping[str, Tensor]]:
    """Returns y, the updates and the outputs of the algebra.

    y and the outputs have a gradient in x and in the parameters.

    Every tensor that the gradient reads is an argument of the differentiated
    function. TensorFlow differentiates a loop or an inner `tf.function` in
    another graph, which has only the arguments.

    Args:
        backend_class: the `Backend` that computes the passes.
        spec, x, mask, params: the arguments of `normalize`.
        second_order_class: a `Backend` for second derivatives, whose
            operations TensorFlow can differentiate, or `None` if
            `backend_class` has such operations.
    """
    present = params.present()
    masks = [] if mask is None else [mask]

    def unpack(tensors: Sequence[Tensor]) -> tuple[Tensor | None, Params]:
        """Returns the mask and the parameters, the arguments after x."""
        values = dict(zip(present, tensors[len(masks) :], strict=True))
        return (tensors[0] if masks else None), params.replace(**values)

    @differentiation.custom_gradient
    def run(x: Tensor, *tensors: Tensor) -> Any:
        mask_argument, params_argument = unpack(tensors)
        backend = backend_class(spec, x, mask_argument)
        y, updates, outputs, saved = backend.forward(x, params_argument)
        updates = tf.nest.map_structure(tf.stop_gradient, updates)

        def gradient(
            dy: Tensor, *others: Tensor, variables: Any = None
        ) -> list[Any]:
            if variables:
                unknown = [variable.name for variable in variables]
                raise ValueError(_UNKNOWN_VARIABLES.format(unknown))
            # Without the control dependency, common subexpression
            # elimination would keep the forward pass's copies of x (its cast
            # to float32, its shift) for the backward pass.
            with tf.control_dependencies([dy]):
                x_copy = tf.identity(x)

            # TensorFlow flattens the updates, then the outputs.
            upstream = dy, *others[len(others) - len(outputs) :]

            def backward(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
                dy, *d_outputs = tensors[: len(upstream)]
                dx, gradients = backend.backward(x, dy, d_outputs, saved)
                return dx, *gradients

            if second_order_class is not None:
                backward = with_gradient(backward, forward, len(upstream))
            gradients = iter(backward(x_copy, *upstream, *tensors))
            return [
                next(gradients) if tensor.dtype.is_floating else None
                for tensor in (x, *tensors)
            ]

        return (y, updates, outputs), gradient

    def forward(x: Tensor, *tensors: Tensor) -> list[Tensor]:
        """y and the outputs, by operations that TensorFlow differentiates."""
        assert second_order_class is not None
        y, _, outputs = normalize_with_gradient(
            second_order_class, spec, x, *unpack(tensors)
        )
        return [y, *tf.nest.flatten(outputs)]

    return run(x, *masks, *present.values())


def with_gradient(
    backward: Callable[..., Any],
    forward: Callable[..., list[Tensor]],
    results: int,
) -> Callable[..., Any]:
    """Returns `backward` with a gradient: two derivatives of `forward`.

    `backward` receives x, the upstream gradients of the `results` tensors that
    `forward` returns, and the other arguments of `forward`.
    """

    @differentiation.custom_gradient
    def run(*arguments: Tensor) -> Any:
        def second_order(*upstream: Tensor) -> list[Tensor]:
            copies = copy(arguments)
            x_copy, *others = copies
            dy_copies, tensor_copies = others[:results], others[results:]
            inputs = [
                tensor
                for tensor in (x_copy, *tensor_copies)
                if tensor.dtype.is_floating
            ]
            with tf.GradientTape() as outer:
                outer.watch([*dy_copies, *inputs])
                with tf.GradientTape() as inner:
                    inner.watch(inputs)
                    outputs = forward(x_copy, *tensor_copies)
                gradients = inner.gradient(
                    outputs, inputs, dy_copies, unconnected_gradients="zero"
                )
            return outer.gradient(
                gradients, copies, upstream, unconnected_gradients="zero"
            )

        return backward(*arguments), second_order

    def copy(tensors: Sequence[Tensor]) -> list[Tensor]:
        # The gradient of a loop or an inner function reads tensors of another
        # graph, and tapes do not record that read. They watch copies.
        return [tf.identity(tensor) for tensor in tensors]

    return lambda *arguments: run(*copy(arguments))
