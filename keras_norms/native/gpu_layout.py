"""The layout in which TensorFlow and XLA compute convolutions on GPUs.

TensorFlow's layout optimizer, and XLA on GPUs, compute many convolutions with
the channels first, and transpose their inputs and outputs. They cannot move
these transposes past operations that they do not know, as those of the native
library, but two opposite transposes cancel. A native operation with the
channels last is therefore written as a transpose, the operation with the
channels first and a transpose back.
"""

from typing import Any

from keras_norms.native import dispatch
from keras_norms.native import tracing

# From these compute capabilities on, convolutions have the channels last.
_CHANNELS_LAST = {"float16": (7, 0), "bfloat16": (8, 0)}
_CHANNELS_LAST_IN_XLA = {**_CHANNELS_LAST, "float32": (9, 0)}
_CONVOLUTIONS = frozenset(
    {
        "Conv2D",
        "Conv2DBackpropInput",
        "Conv3D",
        "Conv3DBackpropInputV2",
        "DepthwiseConv2dNative",
    }
)
# The number of operations before x among which a convolution is searched.
_SEARCHED = 32


def moves_channels(x: Any, axis: int) -> bool:
    """Whether x has its channels last, but a convolution near it does not.

    Args:
        x: the input of a native operation.
        axis: its channel axis.
    """
    rank = len(x.shape)
    if rank not in (4, 5) or axis % rank != rank - 1:
        return False
    capabilities = dispatch.gpus()
    if not capabilities or not tracing.in_graph():
        return False
    in_xla = tracing.compiling()
    from_capability = _CHANNELS_LAST_IN_XLA if in_xla else _CHANNELS_LAST
    first = from_capability.get(x.dtype.name)
    if first is not None and min(capabilities) >= first:
        return False
    return _follows_convolution(x.op)


def _follows_convolution(operation: Any) -> bool:
    """Whether a convolution is among the operations before this one."""
    queue, found = [operation], {operation.name}
    for current in queue:
        if current.type in _CONVOLUTIONS:
            return True
        for tensor in current.inputs:
            if tensor.op.name not in found and len(queue) < _SEARCHED:
                found.add(tensor.op.name)
                queue.append(tensor.op)
    return False
