"""The two passes over x, which every normalization runs."""

import functools
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from keras_norms.docstrings import insert_blocks
from keras_norms.engine import normalize as engine
from keras_norms.engine.params import Params
from keras_norms.engine.spec import NormSpec
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


@insert_blocks
def normalize(
    x: Tensor,
    coefficients: Callable[..., Any],
    parameters: Mapping[str, Tensor | None] | None = None,
    *,
    mask: Tensor | None = None,
    axis: int = -1,
    examples: int | None = 1,
    statistics: bool = True,
    activation: Callable[[Tensor], Tensor] | None = None,
    dtype: str | None = None,
) -> tuple[Tensor, Any]:
    """Normalizes with any algebra of moments.

    ```
    moments = instance moments of x                       one read of x
    center, scale, shift = coefficients(moments, **parameters)
    y = activation((x - center) * scale + shift)          one read, one write
    ```

    The gradient computes three sums of shape `[rows, channels]` in one pass
    over x and dy, differentiates the algebra, and writes dx in a second pass.
    x itself is the only large tensor that is kept.

    Masking: Masked positions are excluded from the moments and are normalized
    like all others. Non-finite values there are read as 0.

    Args:
        {{x}}
        coefficients: Differentiable function of `Moments` (or of `None`, if
            `statistics` is `False`) and of the parameters by name. It returns
            `Coefficients`, or `(Coefficients, extras)`.
        parameters: Dictionary of the tensors that gradients must reach, or
            `None` for no parameters. The function receives them in the dtype
            of the statistics, without those that are `None`. Defaults to
            `None`.
        {{x_mask}}
        {{x_axis}}
        examples: Integer, the number of examples per row of the moments, or
            `None` for the whole batch: the smallest blocks for which
            `coefficients` needs moments. If the batch is not a multiple of it,
            rows hold one example. Defaults to `1`.
        statistics: Boolean, whether moments are computed. Defaults to `True`.
        activation: Differentiable function, or `None`. It is recomputed in the
            backward pass, not stored. Defaults to `None`.
        dtype: Dtype of y. `None` means that of `x`, or that of the statistics
            where `x` holds integers. Defaults to `None`.

    Returns:
        Tuple `(y, extras)`. y has the shape of `x`. extras is what
        `coefficients` returned besides `Coefficients`, without a gradient, or
        an empty dictionary.

    Raises:
        ValueError: If `coefficients` does not return `Coefficients`.
        {{x_errors}}

    Example:

    >>> import numpy as np
    >>> from keras_norms import ops
    >>> x = np.array([[1.0, 3.0], [5.0, 9.0]])
    >>> def coefficients(moments, gamma):
    ...     return ops.affine(moments.pool(groups=1), gamma, epsilon=0.0)
    >>> y, _ = ops.normalize(x, coefficients, {"gamma": np.array([1.0, 2.0])})
    >>> print(np.array(y))
    [[-1.  2.]
     [-1.  2.]]
    """
    spec = NormSpec(
        functools.partial(_algebra, coefficients),
        axis,
        examples,
        statistics,
        activation,
        dtype,
    )
    y, extras, _ = engine.normalize(spec, x, Params(parameters or {}), mask)
    return y, extras


def _algebra(
    function: Callable[..., Any], moments: Moments, params: Params
) -> Coefficients:
    result = function(moments, **params.present())
    if isinstance(result, tuple) and len(result) == 2:
        coefficients, extras = result
        if isinstance(coefficients, Coefficients):
            return coefficients.with_updates(extras)
    return result
