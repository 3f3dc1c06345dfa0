"""The hooks of the layers with running statistics, and their defaults."""

from collections.abc import Mapping

from keras import ops

from keras_norms.engine.params import Params
from keras_norms.layers.running_statistics import moving_average
from keras_norms.statistics import replicas
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.affine import affine
from keras_norms.statistics.moments import Moments
from keras_norms.types import Tensor

# The hooks that the coefficients in training follow from.
_TRAINING = (
    "uses_batch",
    "training_moments",
    "batch_moments",
    "rows_of_examples",
    "channel_groups",
    "training_coefficients",
    "algebra",
)


class BatchHooks:
    """What a subclass of `BaseBatchNormalization` may override.

    The defaults are those of batch normalization. The two properties may also
    be overridden by an attribute of the class, such as `per_example = True`.
    The methods are listed in the order in which a call runs them. They compute
    with small tensors. `extra_inputs`, which receives the inputs, is a method
    of `BaseBatchNormalization`.

    A name that `updated_state` or `step_state` returns must be a key of
    `parameters` and an attribute of the layer that holds the weight.
    """

    epsilon: float
    momentum: float
    running_variance: str
    synchronized: bool
    replicas_per_group: int | None

    @property
    def per_example(self) -> bool:
        """Whether a hook reads the moments of each example."""
        return False

    @property
    def examples_per_block(self) -> int | None:
        """How many consecutive examples training normalizes together.

        `None` means the whole batch.
        """
        return None

    def uses_batch(self, params: Params) -> Tensor:
        """Whether training normalizes with the statistics of the batch.

        Either `True`, or a boolean tensor. Where it is false, training
        normalizes with the running statistics, as inference does.
        """
        return True

    def training_moments(self, moments: Moments, params: Params) -> Moments:
        """The moments of each row, before training pools them."""
        return moments

    def batch_moments(self, moments: Moments, params: Params) -> Moments:
        """The moments of the batch, one row for each row of `moving_mean`."""
        return moments.pool(examples=None)

    def running_target(
        self, batch: Moments, rows: Moments, params: Params
    ) -> Moments:
        """The moments that the running statistics approach.

        `batch` are the moments of the whole batch. `rows` are the moments that
        normalize it: those of its blocks of `examples_per_block`, repeated for
        each row, or one row for the whole batch.
        """
        return batch

    def updated_state(
        self, mean: Tensor, variance: Tensor, params: Params
    ) -> dict[str, Tensor]:
        """New values of non-trainable weights in training, by name.

        A value of a channel is assigned if `running_target` is valid there:
        finite, with a count above 0. A scalar is assigned if any channel is
        valid.
        """
        momentum = self.momentum
        if self.running_variance == "total":
            distance = ops.square(params.moving_mean - mean)
            variance = variance + momentum * distance
        return {
            "moving_mean": moving_average(params.moving_mean, mean, momentum),
            "moving_variance": moving_average(
                params.moving_variance, variance, momentum
            ),
        }

    def step_state(self, params: Params) -> dict[str, Tensor]:
        """Like `updated_state`, but assigned after every training batch."""
        return {}

    def rows_of_examples(self, moments: Moments, params: Params) -> Moments:
        """The moments that normalize each example, or one row for all.

        `moments` are those of the batch or of its blocks in training, and the
        running ones at inference.
        """
        return moments

    def channel_groups(self, moments: Moments) -> Moments:
        """The moments pooled over groups of channels."""
        return moments

    def training_coefficients(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        """The coefficients in training, by default those of `algebra`."""
        return self.algebra(moments, instance, params)

    def example_statistics(self, instance: Moments, params: Params) -> Moments:
        """The moments of each example that inference blends into others.

        They get the weight `inference_weight` and the running statistics the
        rest.
        """
        return self.channel_groups(instance)

    def transform_output(
        self, y: Tensor, outputs: Mapping[str, Tensor], mask: Tensor | None
    ) -> Tensor:
        """The output of the layer, by default y.

        `outputs` are those of the coefficients that `algebra` returns.
        """
        return y

    def algebra(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        """The coefficients.

        `moments` are those that normalize: of the batch or a block in
        training, the running ones (with `inference_weight`, blended) at
        inference. `instance` are those of each example, if `per_example` is
        set.
        """
        return affine(moments, params.gamma, params.beta, self.epsilon)

    @property
    def pooled_affine(self) -> PooledAffine | None:
        """The algebra in training as a `PooledAffine`, if it is one.

        The native library has it as one kernel, or as one for each pass if
        replicas exchange moments. It is one unless a hook is overridden.
        """
        return self._pooled_affine(BatchHooks)

    def _pooled_affine(
        self, owner: type, plain: bool = True
    ) -> PooledAffine | None:
        """`pooled_affine`, if the hooks are those of the class `owner`.

        `plain` is whether these compute what the defaults compute.
        """
        inherits = all(
            getattr(type(self), name) is getattr(owner, name)
            and name not in vars(self)
            for name in _TRAINING
        )
        if not (plain and inherits) or self.per_example:
            return None
        merged = 1 if self.examples_per_block else self.merged_replicas
        return PooledAffine(-1, self.epsilon, merged)

    @property
    def merged_replicas(self) -> int | None:
        """How many neighboring replicas share statistics in training.

        `None` means all of them.
        """
        if not self.synchronized or replicas.count() == 1:
            return 1
        return self.replicas_per_group
