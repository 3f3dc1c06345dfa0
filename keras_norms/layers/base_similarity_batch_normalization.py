"""Batch normalization whose running statistics follow similar examples."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.engine.params import Params
from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)
from keras_norms.layers.running_statistics import moving_average
from keras_norms.ops.feature_similarity import similarity_and_count
from keras_norms.statistics import replicas
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.moments import Moments
from keras_norms.types import Config
from keras_norms.types import Shape
from keras_norms.types import Tensor


class BaseSimilarityBatchNormalization(BaseCalibratedBatchNormalization):
    """Base class with the threshold of unified batch normalization.

    ```
    similarity = similarity_momentum similarity
                 + (1 - similarity_momentum) cosine
    ```

    Training uses the statistics of the batch and updates the running ones
    where `similarity > bound`. Otherwise, it normalizes with the running
    statistics and does not change them. See `UnifiedBatchNormalization`.
    """

    def __init__(
        self,
        bound: float = 0.15,
        similarity_momentum: float = 0.9,
        similarity_examples: int | None = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bound = validation.cosine("bound", bound)
        self.similarity_momentum = validation.fraction(
            "similarity_momentum", similarity_momentum
        )
        self.similarity_examples = validation.examples(
            "similarity_examples", similarity_examples
        )

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.similarity = self.add_parameter(
            "similarity", (), keras.initializers.Ones(), trainable=False
        )

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {**super().parameters, "similarity": self.similarity}

    def extra_inputs(
        self, inputs: Tensor, mask: Tensor | None
    ) -> dict[str, Tensor]:
        cosine, is_valid = _mean_cosine(
            inputs,
            mask,
            self.axis,
            self.similarity_examples,
            self.synchronized,
        )
        return {"cosine": cosine, "cosine_is_valid": is_valid}

    def average_similarity(self, params: Params) -> Tensor:
        """The moving average of the cosine, with that of this batch."""
        average = moving_average(
            params.similarity, params.cosine, self.similarity_momentum
        )
        return ops.where(params.cosine_is_valid, average, params.similarity)

    def uses_batch(self, params: Params) -> Tensor:
        # No average is below the bound of -1, which every batch exceeds.
        if self.bound == -1:
            return True
        return self.average_similarity(params) > self.bound

    @property
    def pooled_affine(self) -> PooledAffine | None:
        plain = self.bound == -1 and not self.calibrates
        return self._pooled_affine(BaseSimilarityBatchNormalization, plain)

    def running_target(
        self, batch: Moments, rows: Moments, params: Params
    ) -> Moments:
        """A batch that is not used has count 0, so it changes nothing."""
        batch = super().running_target(batch, rows, params)
        if self.bound == -1:
            return batch
        count = ops.cast(batch.count, batch.mean.dtype)
        count = ops.where(self.uses_batch(params), count, 0.0)
        return dataclasses.replace(batch, count=count)

    def step_state(self, params: Params) -> dict[str, Tensor]:
        return {"similarity": self.average_similarity(params)}

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "bound": self.bound,
            "similarity_momentum": self.similarity_momentum,
            "similarity_examples": self.similarity_examples,
        }


def _mean_cosine(
    inputs: Tensor,
    mask: Tensor | None,
    axis: int,
    examples: int | None,
    synchronized: bool,
) -> tuple[Tensor, Tensor]:
    """The mean cosine, and whether there is one.

    It is 1 for one example. Replicas that are not synchronized average theirs.
    """
    cosine, count = similarity_and_count(
        inputs, mask, axis, synchronized=synchronized, examples=examples
    )
    cosine = ops.where(count > 1, cosine, 1.0)
    is_valid = ops.logical_and(count > 0, ops.isfinite(cosine))
    alone = replicas.count() == 1 or replicas.average_later()
    if synchronized or alone:
        return cosine, is_valid
    valid = ops.cast(is_valid, cosine.dtype)
    sums = ops.stack([ops.where(is_valid, cosine, 0.0), valid])
    sums = replicas.total(sums)
    return sums[0] / ops.maximum(sums[1], 1.0), sums[1] > 0
