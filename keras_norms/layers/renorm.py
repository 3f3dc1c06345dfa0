"""Batch renormalization: its correction, and its moving averages."""

from collections.abc import Mapping

from keras import ops

from keras_norms.engine.params import Params
from keras_norms.layers.running_statistics import moving_average
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


def corrected(
    moments: Moments,
    params: Params,
    clipping: Mapping[str, float | None],
    epsilon: float,
) -> Params:
    """The parameters with `r gamma` for gamma and `d gamma + beta` for beta.

    Args:
        moments: those that normalize.
        params: the parameters of the layer.
        clipping: the optional bounds `rmax`, `rmin` and `dmax`.
        epsilon: is added to the variance.
    """
    # The initial renorm_stddev may be 0.
    stddev = ops.maximum(params.renorm_stddev, epsilon**0.5)
    r = ops.sqrt(moments.variance + epsilon) / stddev
    r = ops.maximum(r, clipping.get("rmin") or 0.0)
    if clipping.get("rmax") is not None:
        r = ops.minimum(r, clipping["rmax"])
    d = (moments.mean - params.renorm_mean + moments.residual) / stddev
    dmax = clipping.get("dmax")
    if dmax is not None:
        d = ops.clip(d, -dmax, dmax)
    gamma, shift = ops.stop_gradient(r), ops.stop_gradient(d)
    if params.gamma is not None:
        gamma, shift = gamma * params.gamma, shift * params.gamma
    beta = shift if params.beta is None else shift + params.beta
    return params.replace(gamma=gamma, beta=beta)


def updated_state(
    mean: Tensor,
    variance: Tensor,
    params: Params,
    momentum: float,
    renorm_momentum: float,
    epsilon: float,
) -> dict[str, Tensor]:
    """New values of the moving averages, and the moving variance of these."""
    stddev = ops.sqrt(variance + epsilon)
    state = {
        name: moving_average(params[name], value, its_momentum)
        for name, value, its_momentum in (
            ("renorm_mean", mean, renorm_momentum),
            ("renorm_stddev", stddev, renorm_momentum),
            ("moving_stddev", stddev, momentum),
        )
    }
    # The paper averages standard deviations. Inference, which divides by
    # sqrt(moving_variance + epsilon), then divides by moving_stddev.
    square = ops.square(state["moving_stddev"])
    state["moving_variance"] = ops.maximum(square - epsilon, 0.0)
    return state
