"""The condensed batches of `UnifiedBatchNormalization`."""

import warnings
from typing import Any

from keras import ops

from keras_norms.engine.params import Params
from keras_norms.native import tracing
from keras_norms.types import Tensor

_CONDENSED = (
    "{}: every batch since its warm-up of {} steps was condensed ({} so far, "
    "similarity above {}, last {:.3f}), so the running statistics are {}, "
    "and inference with them may be inaccurate. Raise "
    "`condensation_threshold` or `warmup_steps`."
)


def is_condensed(layer: Any, params: Params) -> Tensor:
    """Whether the batch of a training step is condensed."""
    return ops.logical_and(
        params.current > layer.condensation_threshold,
        params.steps >= layer.warmup_steps,
    )


def warn_if_condensed_all_along(layer: Any) -> None:
    """Warns once if no batch since the warm-up updated the statistics.

    It is called before inference and before saving, where Python runs. A graph
    cannot warn.
    """
    if layer.warned or not layer.built:
        return
    read = tracing.values(layer.condensed, layer.updates, layer.similarity)
    if read is None:
        return
    condensed, updates, similarity = read
    enough = max(1, layer.warmup_steps // 10)
    if updates > layer.warmup_steps or condensed < enough:
        return
    layer.warned = True
    first = f"those of the first {updates:.0f} steps"
    message = _CONDENSED.format(
        layer.name,
        layer.warmup_steps,
        int(condensed),
        layer.condensation_threshold,
        similarity,
        first if updates else "still the initial ones",
    )
    warnings.warn(message, stacklevel=4)
