"""Coefficients that a condition of each example changes."""

import dataclasses
from typing import Any

from keras_norms.engine.params import Params
from keras_norms.engine.spec import Algebra
from keras_norms.statistics.affine import Coefficients

# The parameters that hold the condition, `[batch, channels]` each.
SCALE, SHIFT = "condition_scale", "condition_shift"


@dataclasses.dataclass(frozen=True, eq=False)
class ConditionalAlgebra:
    """Another algebra, and an affine transformation of its output.

    y = SCALE * ((x - center) * scale + shift) + SHIFT
    """

    algebra: Algebra

    def __call__(self, moments: Any, params: Params) -> Coefficients:
        coefficients = self.algebra(moments, params)
        factor = params[SCALE]
        return dataclasses.replace(
            coefficients,
            scale=coefficients.scale * factor,
            shift=coefficients.shift * factor + params[SHIFT],
        )


def conditioned(algebra: Algebra, params: Params) -> Algebra:
    """The algebra, with the condition if the parameters have one."""
    return ConditionalAlgebra(algebra) if SCALE in params else algebra
