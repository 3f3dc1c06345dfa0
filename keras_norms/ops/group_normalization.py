"""Group normalization as a function."""

from keras_norms import validation
from keras_norms.engine.normalize import normalize
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.statistics.affine import PooledAffine


def group_normalization(
    x,
    groups=32,
    gamma=None,
    beta=None,
    *,
    mask=None,
    axis=-1,
    epsilon=1e-3,
    activation=None,
):
    """Group normalization as a function.

        y = activation(gamma[c] (x - mean[n, g]) / sqrt(var[n, g] + eps)
                       + beta[c])

    with the mean and the variance of example n over its positions and over
    the channels of the group g of c.

    Arguments:
        x: a tensor `[batch, ...]` of rank 2 or more, of any real dtype.
        groups: a divisor of the number of channels; -1 is one group a channel
            (instance normalization), 1 one for all of an example's positions
            and channels.
        gamma, beta: `[channels]`, or None for 1 and 0.
        mask: as in `normalize`.
        axis: the channel axis.
        epsilon: added to the variance.
        activation: a function applied to the result, or None.

    Raises: ValueError for `groups` that are not -1 or a positive divisor of
        the channels, and as `normalize` does.

    Returns: a tensor like x (float32 where x holds integers).

    Source: Wu and He, Group Normalization, ECCV 2018, equations 1 to 7.

    Example:

    >>> import numpy as np
    >>> from keras_norms.ops import group_normalization
    >>> x = np.array([[1.0, 3.0, 5.0, 9.0]])
    >>> print(np.array(group_normalization(x, groups=2, epsilon=0.0)))
    [[-1.  1. -1.  1.]]
    """
    x, mask = validation.inputs(x, mask, axis)
    validation.groups_of(groups, x.shape[axis])

    spec = NormSpec(PooledAffine(groups, epsilon), axis, activation=activation)
    y, _ = normalize(spec, x, Params({"gamma": gamma, "beta": beta}), mask)
    return y
