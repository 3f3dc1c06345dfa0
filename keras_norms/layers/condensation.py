"""The warning of a layer whose running statistics cannot be used."""

import warnings

from keras_norms.native import tracing

_CONDENSED = (
    "{}: every batch since its warm-up of {} steps was condensed ({} so far, "
    "similarity above {}, last {:.3f}), so its running statistics are {}, and "
    "inference with them may go wrong. Raise `condensation_threshold` or "
    "`warmup_steps`."
)


def warn_if_condensed_all_along(layer):
    """Of `UnifiedBatchNormalization`, once: before use or before saving.

    There Python runs; graphs have no way to warn.
    """
    if layer.warned or not layer.built:
        return
    read = tracing.values(layer.condensed, layer.updates, layer.similarity)
    if read is None:
        return
    condensed, updates, similarity = read
    many = max(1, layer.warmup_steps // 10)
    if updates > layer.warmup_steps or condensed < many:
        return
    layer.warned = True
    followed = f"those of the first {updates:.0f} steps"
    message = _CONDENSED.format(
        layer.name,
        layer.warmup_steps,
        int(condensed),
        layer.condensation_threshold,
        similarity,
        followed if updates else "still the initial ones",
    )
    warnings.warn(message, stacklevel=4)
