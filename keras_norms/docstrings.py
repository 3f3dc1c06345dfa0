"""The blocks of text that several docstrings share, each written once.

A line `{{name}}` in a docstring stands for the block of that name.
"""

import re
import textwrap
from typing import TypeVar

_Documented = TypeVar("_Documented")


def insert_blocks(documented: _Documented) -> _Documented:
    """Inserts the shared blocks into the docstring of a class or function.

    It is a decorator. A block gets the indentation of its placeholder.
    """
    # `python -OO` removes docstrings.
    if documented.__doc__:
        documented.__doc__ = _inserted(documented.__doc__)
    return documented


def _inserted(text: str) -> str:
    return re.sub(r"^( *)\{\{(\w+)\}\}$", _block, text, flags=re.MULTILINE)


def _block(placeholder: re.Match[str]) -> str:
    indentation, name = placeholder.groups()
    return textwrap.indent(_inserted(_BLOCKS[name]), indentation)


_BLOCKS = {
    # Args of layers.
    "axis": """\
axis: Integer, the axis of the channels. `-1` means channels last, `1`
    means channels first. Defaults to `-1`.""",
    "parameter_args": """\
center: Boolean, whether the layer has a learnable shift `beta`, one
    number per channel. Defaults to `True`.
scale: Boolean, whether the layer has a learnable scale `gamma`, one
    number per channel. Defaults to `True`.
beta_initializer: Initializer for `beta`. Defaults to `"zeros"`.
gamma_initializer: Initializer for `gamma`. Defaults to `"ones"`.
beta_regularizer: Regularizer for `beta`, or `None`. Defaults to
    `None`.
gamma_regularizer: Regularizer for `gamma`, or `None`. Defaults to
    `None`.
beta_constraint: Constraint for `beta`, or `None`. Defaults to `None`.
gamma_constraint: Constraint for `gamma`, or `None`. Defaults to
    `None`.
activation: Activation that is applied to the output in the same pass.
    It is recomputed for the gradient, not stored. One of: the name of
    a Keras activation, a function of one tensor that is registered
    for saving, a layer without weights, or `None`. Defaults to
    `None`.""",
    "running_args": """\
moving_mean_initializer: Initializer for the running mean. Defaults to
    `"zeros"`.
moving_variance_initializer: Initializer for the running variance.
    Defaults to `"ones"`.""",
    "synchronized": """\
synchronized: Boolean, whether the statistics cover the examples of
    all replicas, as if one device had the joined batch: one
    all-reduce forward and one backward. On JAX, they always cover
    the whole batch. Defaults to `False`.""",
    "inference_weight": """\
inference_weight: Float from 0 to 1, the weight of an example's own
    moments at inference (alpha of inference example weighing).
    Defaults to `0.0`.""",
    "renorm_args": """\
renorm: Boolean, whether to use batch renormalization. With
    `std = sqrt(variance + epsilon)`, training then computes
    `(x - mean) / std * r + d` with `r = std / renorm_stddev` and
    `d = (mean - renorm_mean) / renorm_stddev`, both clipped and
    without a gradient. `renorm_mean` and `renorm_stddev` are moving
    averages of `mean` and `std`, and `renorm_stddev` counts as at
    least `sqrt(epsilon)`. `moving_variance` is then
    `moving_stddev**2 - epsilon`, at least 0, where `moving_stddev` is
    a moving average of `std` with `momentum`. Defaults to `False`.
renorm_clipping: Dictionary with the optional keys `rmax`, `rmin` and
    `dmax`, or `None`. `r` is clipped to `[rmin, rmax]` and `d` to
    `[-dmax, dmax]`. Defaults to `None`.
renorm_momentum: Float from 0 to 1, the momentum of `renorm_mean` and
    `renorm_stddev`. Defaults to `0.99`.""",
    "ghost_statistics": """\
ghost_statistics: String, the target of the running statistics with
    ghost batches. `"batch"`: one update with the moments of the whole
    batch. `"sequential"`: one update per ghost batch, in order.
    `"average"`: one update with the averages of the means and of the
    variances of the ghost batches. Defaults to `"batch"`.""",
    "running_variances": """\
`"within"`: the moving average of the batches' variances, as in Keras.
`"total"`: the variance about the moving mean, from a moving average of
second moments, as in the code of Four Things. It is larger by the
variance of the batches' means, which matters if batches are small.
Each update then adds `momentum (1 - momentum) (moving_mean - mean)**2`
to that of `"within"`.""",
    "running_variance": """\
running_variance: String, what `moving_variance` holds, or `None`.
    {{running_variances}}
    `None` means `"total"` with ghost batches or an `inference_weight`,
    unless `renorm` is set, and `"within"` otherwise. Defaults to
    `None`.""",
    "batch_args": """\
{{axis}}
{{parameter_args}}
{{running_args}}
{{synchronized}}
{{inference_weight}}
running_variance: String, what `moving_variance` holds.
    {{running_variances}}
    Defaults to `"within"`.
{{frozen_statistics}}
{{layer_kwargs}}""",
    "frozen_statistics": """\
frozen_statistics: Boolean, whether training, too, normalizes with the
    running statistics, which then do not change, while gamma and beta
    are trained. Defaults to `False`.""",
    "layer_kwargs": """\
**kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and
    `dtype`.""",
    # Call arguments, shapes and errors of layers.
    "inputs": """\
inputs: Tensor `[batch, ..., channels]`, with the channels at `axis`.""",
    "training": """\
training: Boolean or boolean tensor, whether to normalize with the
    statistics of the batch and to update the running statistics
    (training) or to normalize with the running statistics
    (inference). `None` means the mode of the model that calls the
    layer, or otherwise inference. A layer with `trainable = False`
    runs in inference mode. Defaults to `None`.""",
    "mask": """\
mask: Boolean tensor over the leading axes of the inputs without their
    channel axis, or over all axes but the last, as
    `keras.layers.Masking` creates it, or `None`. `False` positions
    are masked. Defaults to `None`.""",
    "input_shape": """\
Tensor of rank 2 or more, `(batch, ..., channels)`, with the channels
at `axis`. All sizes but the number of channels may be unknown. Any
real dtype is accepted. The statistics are computed in float32, or in
float64 for float64 inputs.""",
    "output_shape": """\
Same shape as the input, in the compute dtype of the layer.""",
    "shape_errors": """\
ValueError: If the inputs have rank 1 or are not real numbers, if
    `axis` is not one integer or is out of bounds, or if the number of
    channels is unknown or 0.""",
    "errors": """\
ValueError: If the inputs have rank 1 or are not real numbers, if
    `axis` is not one integer or is out of bounds, if the number of
    channels is unknown or 0, if `epsilon` is negative or not finite,
    if `activation` is none of the above, or if the mask does not fit
    the inputs.""",
    "running_errors": """\
{{errors}}
ValueError: If `momentum` or `inference_weight` is not a number from 0
    to 1, or if `synchronized` is not a boolean, or `True` on PyTorch.
RuntimeError: If a synchronized layer is called where replicas cannot
    exchange tensors, see above.""",
    "batch_errors": """\
ValueError: If a ghost batch has less than one example, if ghost
    batches are combined with `synchronized`, if `ghost_statistics` is
    unknown or is `"sequential"` with `renorm`, if `running_variance`
    is unknown or is `"total"` with `renorm`, or if `renorm_clipping`
    has other keys or values than the above.""",
    # Sections of layers.
    "call_sections": """\
Call arguments:
    {{inputs}}
    {{mask}}

Input shape:
    {{input_shape}}

Output shape:
    {{output_shape}}""",
    "batch_call_sections": """\
Call arguments:
    {{inputs}}
    {{training}}
    {{mask}}

Input shape:
    {{input_shape}}

Output shape:
    {{output_shape}}""",
    "batch_modes": """\
{{batch_masking}}

{{batch_inference}}

{{batch_replicas}}""",
    # Paragraphs of layers.
    "masking": """\
Masking: Masked positions are excluded from the statistics and from
their gradients, and are normalized like all others. Non-finite values
there are read as 0. An example without an unmasked position gives
zeros, to which the activation is applied. The mask is passed on.""",
    "batch_masking": """\
Masking: Masked positions are excluded from the statistics and from
their gradients, and are normalized like all others. Non-finite values
there are read as 0. A batch without an unmasked position gives zeros
in training, to which the activation is applied. The mask is passed on.
A batch that is empty, fully masked or not finite does not change the
running statistics.""",
    "same_inference": """\
Inference: The layer computes the same in training and at inference,
whatever the batch size is.

Replicas: The layer computes the same whatever the number of replicas
is, because no statistics are shared by examples.""",
    "batch_inference": """\
Inference: `moving_mean` and `moving_variance` replace the statistics
of the batch. They are moving averages, which are updated in training
by `moving = momentum * moving + (1 - momentum) * batch` and are never
stored in 16 bits. With `a = inference_weight` above 0, an example with
mean `m_n` and variance `v_n` is normalized with the mean
`a m_n + (1 - a) m` and the variance
`a v_n + (1 - a) v + a (1 - a) (m_n - m)**2`, where m and v are the
running statistics.""",
    "batch_replicas": """\
Replicas: The running statistics are the same on all replicas of a
`tf.distribute` strategy. Their target is the statistics of the joined
batch if `synchronized`, and otherwise the averages of the means and of
the variances of the replicas, weighted by their counts. Inside
`tf.cond`, a loop, a cell of `keras.layers.RNN` or an inner
`tf.function`, replicas cannot exchange tensors. Under
`MirroredStrategy`, each replica then updates its own running
statistics, and inference and saved files use the mean of these.
Synchronized layers and other strategies raise a `RuntimeError`
there.""",
    # Functions.
    "x": """\
x: Tensor `[batch, ...]` of rank 2 or more, of any real dtype.""",
    "x_mask": """\
mask: Boolean tensor over the leading axes of `x` without its channel
    axis, of rank 1 to `ndim - 1`, or, as Keras has masks, over all
    axes of `x` but the last: where channels come first, it then has a
    value for each channel. A mask that can be read both ways is read
    as Keras reads it. `False` positions are masked. Defaults to
    `None`.""",
    "x_axis": """\
axis: Integer, the axis of the channels. Defaults to `-1`.""",
    "x_errors": """\
ValueError: If `x` has rank 1 or does not hold real numbers, if `axis`
    is out of bounds, if the number of channels is unknown or 0, or if
    the mask does not fit `x`.""",
}
