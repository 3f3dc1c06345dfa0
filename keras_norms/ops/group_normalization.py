"""Group normalization as a function."""

from collections.abc import Callable

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.normalize import normalize
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.statistics.affine import PooledAffine
from keras_norms.types import Tensor


@insert_blocks
def group_normalization(
    x: Tensor,
    groups: int = 32,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    axis: int = -1,
    epsilon: float = 1e-3,
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Group normalization as a function.

    ```
    y = activation(gamma[c] (x - mean[n, g]) / sqrt(var[n, g] + epsilon)
                   + beta[c])
    ```

    The mean and the (biased) variance of example n are taken over its
    positions and over the channels of the group g of c.

    Args:
        {{x}}
        groups: Integer, the number of groups, a divisor of the number of
            channels. `-1` means one channel per group (instance
            normalization), `1` means one group of all positions and channels
            of an example. Defaults to `32`.
        gamma: Tensor `[channels]`, or `None` for 1. Defaults to `None`.
        beta: Tensor `[channels]`, or `None` for 0. Defaults to `None`.
        {{x_mask}}
        {{x_axis}}
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        activation: Function that is applied to the result, or `None`. Defaults
            to `None`.

    Returns:
        Tensor of the shape and dtype of `x`, or float32 where `x` holds
        integers.

    Raises:
        ValueError: If `groups` is not -1 or a positive divisor of the number
            of channels.
        {{x_errors}}

    Example:

    >>> import numpy as np
    >>> from keras_norms.ops import group_normalization
    >>> x = np.array([[1.0, 3.0, 5.0, 9.0]])
    >>> print(np.array(group_normalization(x, groups=2, epsilon=0.0)))
    [[-1.  1. -1.  1.]]

    Reference:

    - Wu and He, Group Normalization, 2018,
      [arXiv 1803.08494](https://arxiv.org/abs/1803.08494), equations 1 to 7.
    """
    x, mask = validation.inputs(x, mask, axis)
    validation.groups_of(groups, x.shape[axis])

    spec = NormSpec(PooledAffine(groups, epsilon), axis, activation=activation)
    y, *_ = normalize(spec, x, Params({"gamma": gamma, "beta": beta}), mask)
    return y
