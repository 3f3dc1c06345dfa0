import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.params import Params
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.ops import affine
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.arrays import column
from keras_norms.statistics.arrays import is_scalar
from keras_norms.statistics.arrays import row_counts
from keras_norms.statistics.moments import Moments
from keras_norms.statistics.sets import moments_of_sets
from keras_norms.statistics.sets import rows_of_sets
from keras_norms.types import Config
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class DomainSpecificBatchNormalization(BaseBatchNormalization):
    """Batch normalization with statistics and parameters of each domain.

    ```
    d = domain[n]
    y = activation(gamma[d, c] (x - mean[d, c]) / sqrt(var[d, c] + epsilon)
                   + beta[d, c])
    ```

    In training, the mean and the (biased) variance of domain d are taken over
    the examples of the batch that belong to it. The output is that of one
    batch normalization per domain, each called with the examples of its
    domain, and takes as many passes over x as one of them.

    {{batch_masking}}
    A domain without an example in the batch keeps its running statistics.

    {{batch_inference}}
    The running statistics are those of the example's domain.

    {{batch_replicas}}

    Args:
        domains: Integer, the number of domains.
        momentum: Float from 0 to 1, the momentum of the moving averages.
            Defaults to `0.99`.
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        {{batch_args}}

    Call arguments:
        {{inputs}}
        domain: Integer tensor `[batch]` or `[batch, 1]`, the domain of each
            example, from 0 to `domains - 1`. In a graph, an example of
            another domain gives NaN. Or, as a keyword argument, one integer
            for all examples.
        {{training}}
        inputs_mask: Boolean tensor, as `mask` of the other layers, or `None`.
            Defaults to `None`.

    Input shape:
        {{input_shape}}

    Output shape:
        {{output_shape}}

    Raises:
        ValueError: If `domains` is below 1, or if `domain` is a known integer
            outside of its range, is not an integer, or has another shape.
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.DomainSpecificBatchNormalization(
    ...     2, momentum=0.0, epsilon=0.0)
    >>> x = np.array([[1.0], [3.0], [10.0], [50.0]])
    >>> domain = np.array([0, 0, 1, 1])
    >>> print(np.array(layer(x, domain, training=True)).ravel())
    [-1.  1. -1.  1.]
    >>> print(layer.moving_mean.numpy().ravel())
    [ 2. 30.]

    Reference:

    - Chang et al., Domain-Specific Batch Normalization for Unsupervised Domain
      Adaptation, 2019, [arXiv 1906.03950](https://arxiv.org/abs/1906.03950),
      section 3.2.
    """

    def __init__(
        self,
        domains: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.domains = validation.positive_integer("domains", domains)

    def build(self, inputs_shape: Shape, domain_shape: Shape = ()) -> None:
        super().build(inputs_shape)

    def add_parameter(
        self, name: str, shape: Shape, *args: Any, **kwargs: Any
    ) -> keras.Variable:
        """Adds a weight with a row for each domain."""
        shape = (self.domains, *shape)
        return super().add_parameter(name, shape, *args, **kwargs)

    def call(  # type: ignore[override]
        self,
        inputs: Tensor,
        domain: Tensor,
        training: Tensor = None,
        inputs_mask: Tensor | None = None,
    ) -> Tensor:
        domain = validation.domain(domain, self.domains)
        domain = ops.broadcast_to(
            ops.reshape(domain, (-1,)), ops.shape(inputs)[:1]
        )
        numbers = ops.arange(self.domains, dtype="int32")[:, None]
        parameters = {**self.parameters, "members": numbers == domain}
        return self.normalized(
            inputs, parameters, inputs_mask, training, per_example=True
        )

    def batch_moments(self, moments: Moments, params: Params) -> Moments:
        return moments_of_sets(moments, params.members)

    def rows_of_examples(self, moments: Moments, params: Params) -> Moments:
        def rows(values: Tensor) -> Tensor:
            if is_scalar(values):
                return values
            return rows_of_sets(column(values), params.members)

        count = rows(moments.count)
        if not is_scalar(count):
            count = row_counts(count)
        return Moments(
            count,
            rows(moments.mean),
            rows(moments.variance),
            rows(moments.residual),
        )

    def algebra(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        gamma, beta = (
            None if each is None else rows_of_sets(each, params.members)
            for each in (params.gamma, params.beta)
        )
        coefficients = affine(moments, gamma, beta, self.epsilon)
        exists = ops.any(params.members, axis=0)[:, None]
        shift = ops.where(exists, coefficients.shift, float("nan"))
        return dataclasses.replace(coefficients, shift=shift)

    def compute_output_shape(
        self, inputs_shape: Shape, domain_shape: Shape = ()
    ) -> Shape:
        return super().compute_output_shape(inputs_shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "domains": self.domains}
