from typing import Any

import keras
from keras import ops

from keras_norms.docstrings import insert_blocks
from keras_norms.engine.params import Params
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.ops import Coefficients
from keras_norms.ops import affine
from keras_norms.ops import affine_about
from keras_norms.ops import where_present
from keras_norms.statistics.moments import Moments
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class BatchInstanceNormalization(BaseBatchNormalization):
    """Batch and instance normalization, mixed by a learned share per channel.

    ```
    y = activation(gamma[c] xhat + beta[c])
    xhat = rho[c] xhat_batch + (1 - rho[c]) xhat_instance
    ```

    `xhat_batch` is x normalized with the mean and the (biased) variance of
    channel c over the batch (at inference with `moving_mean` and
    `moving_variance`), and `xhat_instance` is x normalized with those over the
    positions of the example. `rho` starts at 1, which is batch normalization,
    and a constraint keeps it in [0, 1].

    The paper trains `rho` with 10 times the learning rate, for which Keras has
    no setting, and without weight decay, as
    `keras_norms.models.exclude_from_weight_decay` does in all cases.

    {{batch_masking}}
    `xhat_instance` is 0 for an example without an unmasked position.

    {{batch_inference}}

    {{batch_replicas}}

    Args:
        momentum: Float, momentum of the moving averages. Defaults to `0.9`.
        epsilon: Float that is added to the variance. Defaults to `1e-5`.
        {{batch_args}}

    {{batch_call_sections}}

    Raises:
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.BatchInstanceNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0], [3.0]], [[5.0], [7.0]]])
    >>> layer.build(x.shape)
    >>> _ = layer.rho.assign([0.0])
    >>> print(np.array(layer(x, training=True)).ravel())
    [-1.  1. -1.  1.]

    Reference:

    - Nam and Kim, Batch-Instance Normalization for Adaptively Style-Invariant
      Neural Networks, 2018,
      [arXiv 1805.07925](https://arxiv.org/abs/1805.07925), section 3. Epsilon
      and momentum are those of the authors' code.
    """

    per_example = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.rho = self.add_parameter(
            "rho",
            (input_shape[self.axis],),
            keras.initializers.Ones(),
            constraint=_UnitInterval(),
        )

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {**super().parameters, "rho": self.rho}

    def algebra(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        gamma, beta, rho = params.gamma, params.beta, params.rho
        # An example without an unmasked position gets the mean of the batch,
        # not 0.
        instance = instance.or_mean_of(moments)
        by_batch = affine_about(
            instance, instance.minus(moments), moments, epsilon=self.epsilon
        )
        by_instance = affine(instance, epsilon=self.epsilon)
        scale = rho * by_batch.scale + (1.0 - rho) * by_instance.scale
        shift = rho * by_batch.shift + (1.0 - rho) * by_instance.shift
        if gamma is not None:
            scale, shift = gamma * scale, gamma * shift
        if beta is not None:
            shift = shift + beta
        return where_present(
            moments, Coefficients(instance.mean, scale, shift)
        )


@keras.saving.register_keras_serializable(package="keras_norms")
class _UnitInterval(keras.constraints.Constraint):
    def __call__(self, w: Tensor) -> Tensor:
        return ops.clip(w, 0.0, 1.0)
