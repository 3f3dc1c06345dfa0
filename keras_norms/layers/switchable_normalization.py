import dataclasses
from typing import Any

import keras
from keras import ops

from keras_norms.docstrings import insert_blocks
from keras_norms.engine.params import Params
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.ops import affine_about
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.moments import Moments
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class SwitchableNormalization(BaseBatchNormalization):
    """Instance, layer and batch normalization, mixed by learned shares.

    ```
    y = activation(gamma[c] (x - mean[n, c]) / sqrt(var[n, c] + epsilon)
                   + beta[c])
    mean = sum over k of softmax(mean_logits)[k] mean_k
    var = sum over k of softmax(variance_logits)[k] var_k
    ```

    `mean_k` and the (biased) `var_k` are those of instance normalization
    (k = 0), of layer normalization over positions and channels (k = 1) and of
    batch normalization (k = 2). At inference, `moving_mean` and
    `moving_variance` take the place of the last ones. Inputs of rank 2 have no
    positions, so there are no instance statistics: only layer and batch
    normalization are mixed, as in the authors' module for such inputs. The
    logits start at 1, so all shares start equal.

    {{batch_masking}}
    The instance and layer statistics of an example without an unmasked
    position are 0.

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
    >>> layer = keras_norms.layers.SwitchableNormalization(epsilon=0.0)
    >>> x = np.array([[[1.0], [3.0]], [[1.0], [3.0]]])
    >>> print(np.array(layer(x, training=True)).ravel())
    [-1.  1. -1.  1.]

    Reference:

    - Luo et al., Differentiable Learning-to-Normalize via Switchable
      Normalization, 2019, [arXiv 1806.10779](https://arxiv.org/abs/1806.10779),
      section 2. Epsilon and momentum are those of the authors' code, in which
      the instance variance is unbiased.
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
        mixed = 2 if len(input_shape) == 2 else 3
        for name in ("mean_logits", "variance_logits"):
            weight = self.add_parameter(
                name, (mixed,), keras.initializers.Ones()
            )
            setattr(self, name, weight)

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {
            **super().parameters,
            "mean_logits": self.mean_logits,
            "variance_logits": self.variance_logits,
        }

    def algebra(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        layer = instance.pool(groups=1)
        share = ops.softmax(params.mean_logits)
        deviation = share[-2] * instance.minus(layer)
        deviation = deviation + share[-1] * instance.minus(moments)
        share = ops.softmax(params.variance_logits)
        variance = share[-2] * layer.variance
        if share.shape[0] == 3:
            variance = share[0] * instance.variance + variance
        variance = variance + share[-1] * moments.variance
        mixed = dataclasses.replace(moments, variance=variance)
        return affine_about(
            instance, deviation, mixed, params.gamma, params.beta, self.epsilon
        )

    def load_own_variables(self, store: Any) -> None:
        """Loads the weights, also those of version 0.1.

        For inputs of rank 2, that version had three logits, of which the first
        is now left out.
        """
        values = dict(store)
        logits = (self.mean_logits, self.variance_logits)
        for index, weight in enumerate(self.weights):
            value = values.get(str(index))
            if value is not None and any(weight is each for each in logits):
                values[str(index)] = value[-weight.shape[0] :]
        super().load_own_variables(values)
