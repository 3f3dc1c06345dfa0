"""The algebra that all layers with running statistics share."""

import dataclasses
from typing import Any

from keras import ops

from keras_norms import validation
from keras_norms.engine.params import Params
from keras_norms.native.tracing import traced_once
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.affine import choose
from keras_norms.statistics.arrays import column
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class BatchAlgebra:
    """Coefficients from batch or running statistics, and the updates.

    The methods of the layer that are called here are its hooks, see
    `BaseBatchNormalization`.

    Args:
        layer: a `BaseBatchNormalization`.
        training: `True`, `False`, or a boolean tensor. A tensor is read from
            the parameter `training`.
        replaced: names of parameters that inference reads under the name
            `inference_<name>`.
    """

    layer: Any
    training: Any
    replaced: tuple[str, ...] = ()

    def __call__(self, moments: Moments, params: Params) -> Coefficients:
        if self.training is False:
            return self._infer(moments, params)
        if self.training is True:
            return self._train(moments, params, None)
        training = params.training
        trained = self._train(moments.only_if(training), params, training)
        inferred = self._infer(
            moments.only_if(ops.logical_not(training)),
            params.replace(
                **{name: params[f"inference_{name}"] for name in self.replaced}
            ),
        )
        return choose(training, trained, inferred)

    @property
    def pooled_affine(self) -> PooledAffine | None:
        """The `PooledAffine` with the same coefficients, if there is one."""
        return self.layer.pooled_affine if self.training is True else None

    def updates(
        self, moments: Moments, merged: Moments, params: Params
    ) -> dict[str, Tensor]:
        """The updates in training without the coefficients.

        `merged` are the moments across replicas, which normalize.
        """
        batch = self.layer.batch_moments(moments, params)
        return self._updates(batch, merged, params, None)

    def _infer(self, moments: Moments, params: Params) -> Coefficients:
        layer = self.layer
        shape = (-1, params.moving_mean.shape[-1])
        mean, variance = (
            ops.reshape(each, shape)
            for each in (params.moving_mean, params.moving_variance)
        )
        used = layer.channel_groups(Moments(1, mean, variance))
        used = layer.rows_of_examples(used, params)
        if layer.weighs_examples:
            example = layer.example_statistics(moments, params)
            used = example.blend(used, layer.inference_weight)
        return layer.algebra(used, self._instance(moments), params)

    def _train(
        self, moments: Moments, params: Params, training: Tensor | None
    ) -> Coefficients:
        layer = self.layer
        uses_batch = layer.uses_batch(params)
        used = moments
        if uses_batch is not True:
            used = moments.only_if(uses_batch)
        rows = layer.training_moments(used, params)
        batch = layer.batch_moments(rows, params)
        if layer.examples_per_block is None:
            used = batch.across_replicas(layer.merged_replicas)
        else:
            used = rows.pool(examples=layer.examples_per_block)
        updates = self._updates(batch, used, params, training)
        used = layer.rows_of_examples(used, params)
        coefficients = layer.training_coefficients(
            layer.channel_groups(used), self._instance(rows), params
        )
        if uses_batch is not True:
            uses_running = ops.logical_not(uses_batch)
            running = self._infer(moments.only_if(uses_running), params)
            coefficients = choose(uses_batch, coefficients, running)
        return coefficients.with_updates(updates)

    def _updates(
        self,
        batch: Moments,
        used: Moments,
        params: Params,
        training: Tensor | None,
    ) -> dict[str, Tensor]:
        """New values of weights.

        They and the coefficients come from one read of the running statistics,
        because a graph may run a second read after the assignment.
        """
        layer = self.layer
        total = layer.running_variance == "total"
        per_group = layer.merged_replicas
        if layer.synchronized:
            target = batch.average_over_replicas(per_group, total)
            target = layer.running_target(target, used, params)
        else:
            target = layer.running_target(batch, used, params)
            target = target.average_over_replicas(per_group, total)
        count = target.count
        mean, variance, valid = _target(
            min(count, 1) if isinstance(count, int) else count,
            target.mean,
            target.variance,
            tuple(params.moving_mean.shape),
        )
        if training is not None:
            valid = ops.logical_and(valid, training)
        updates = layer.updated_state(mean, variance, params)
        for name, value in updates.items():
            # A scalar is updated where the statistics of any channel are.
            updated = valid if len(value.shape) else ops.any(valid)
            updates[name] = ops.where(updated, value, params[name])
        for name, value in layer.step_state(params).items():
            if training is not None:
                value = ops.where(training, value, params[name])
            updates[name] = value
        return updates

    def _instance(self, moments: Moments) -> Any:
        """The moments of each example, for a layer that asks for them."""
        if self.layer.per_example:
            return moments
        return validation.UnavailableMoments()


@traced_once
def _target(
    count: Tensor, mean: Tensor, variance: Tensor, shape: tuple[int, ...]
) -> list[Tensor]:
    """Mean, variance, and where they are valid, in the shape of a weight."""
    valid = ops.isfinite(mean + variance)
    if not isinstance(count, int) or count == 0:
        present = ops.convert_to_tensor(column(count) > 0)
        valid = ops.logical_and(valid, present)
    return [ops.reshape(each, shape) for each in (mean, variance, valid)]
