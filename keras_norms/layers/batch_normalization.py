from typing import Any

import keras

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.engine.params import Params
from keras_norms.layers import renorm as batch_renorm
from keras_norms.layers.base_batch_normalization import BaseBatchNormalization
from keras_norms.layers.square_root import SquareRoot
from keras_norms.statistics import ghost
from keras_norms.statistics.affine import Coefficients
from keras_norms.statistics.affine import PooledAffine
from keras_norms.statistics.moments import Moments
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class BatchNormalization(BaseBatchNormalization):
    """Batch normalization, exact under masks and over replicas.

    ```
    training    y = activation(gamma[c] (x - mean[c]) / sqrt(var[c] + epsilon)
                               + beta[c])
    inference   the same with moving_mean and moving_variance
    ```

    The mean and the (biased) variance of channel c are taken over the
    examples and positions of the batch, of a ghost batch with
    `ghost_batch_size`, or of the batches of all replicas with `synchronized`.

    The layer is a superset of `keras.layers.BatchNormalization`. It has the
    same arguments, defaults and weights, and the same class name, so that
    weight files load. Without `renorm`, `moving_variance` is a moving average
    of the biased variance, as in Keras. PyTorch averages the unbiased
    variance, and its momentum is 1 minus this one.

    `fused` of Keras 2 is accepted and ignored, because it chose an
    implementation. `virtual_batch_size` is called `ghost_batch_size` here.

    {{batch_modes}}

    Args:
        {{axis}}
        momentum: Float, momentum of the moving averages. Defaults to `0.99`.
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        {{parameter_args}}
        {{running_args}}
        {{renorm_args}}
        {{synchronized}}
        ghost_batch_size: Integer, the number of consecutive examples that are
            normalized together in training, or `None` for the whole batch.
            The last ghost batch may be smaller. Defaults to `None`.
        {{ghost_statistics}}
        {{inference_weight}}
        {{running_variance}}
        {{frozen_statistics}}
        {{layer_kwargs}}

    {{batch_call_sections}}

    Raises:
        {{running_errors}}
        {{batch_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.BatchNormalization(epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1. -1.]
     [ 1.  1.]]

    Reference:

    - Ioffe and Szegedy, Batch Normalization, 2015,
      [arXiv 1502.03167](https://arxiv.org/abs/1502.03167), algorithm 1.
    - Ioffe, Batch Renormalization, 2017,
      [arXiv 1702.03275](https://arxiv.org/abs/1702.03275), section 3.
    - Summers and Dinneen, Four Things Everyone Should Know to Improve Batch
      Normalization, 2020, [arXiv 1906.03548](https://arxiv.org/abs/1906.03548),
      sections on inference example weighing and on ghost batches.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Identifier = "zeros",
        gamma_initializer: Identifier = "ones",
        moving_mean_initializer: Identifier = "zeros",
        moving_variance_initializer: Identifier = "ones",
        beta_regularizer: Identifier = None,
        gamma_regularizer: Identifier = None,
        beta_constraint: Identifier = None,
        gamma_constraint: Identifier = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float | None] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        ghost_batch_size: int | None = None,
        ghost_statistics: str = "batch",
        inference_weight: float = 0.0,
        running_variance: str | None = None,
        **kwargs: Any,
    ) -> None:
        validation.remove_keras_2_arguments(kwargs)
        if running_variance is None:
            of_paper = ghost_batch_size is not None or inference_weight != 0
            total = of_paper and not renorm
            running_variance = "total" if total else "within"
        super().__init__(
            axis=axis,
            momentum=momentum,
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            synchronized=synchronized,
            inference_weight=inference_weight,
            running_variance=running_variance,
            **kwargs,
        )
        self.ghost_batch_size = validation.examples(
            "ghost_batch_size", ghost_batch_size
        )
        validation.refuse_synchronized_blocks(
            "ghost_batch_size", self.ghost_batch_size, synchronized
        )
        self.ghost_statistics = validation.one_of(
            "ghost_statistics",
            ghost_statistics,
            "batch",
            "sequential",
            "average",
        )
        self.renorm = validation.boolean("renorm", renorm)
        validation.refuse_sequential_renorm(renorm, ghost_statistics)
        validation.refuse_renorm_of_total(renorm, running_variance)
        self.renorm_clipping = validation.renorm_clipping(renorm_clipping)
        self.renorm_momentum = validation.fraction(
            "renorm_momentum", renorm_momentum
        )
        self.moving_stddev: Any = None
        self.renorm_mean: Any = None
        self.renorm_stddev: Any = None

    @property
    def examples_per_block(self) -> int | None:
        return self.ghost_batch_size

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if not self.renorm:
            return
        stddev_initializer = SquareRoot(self.moving_variance_initializer)
        shape = self.moving_mean.shape
        for name, initializer in (
            ("moving_stddev", stddev_initializer),
            ("renorm_mean", self.moving_mean_initializer),
            ("renorm_stddev", stddev_initializer),
        ):
            weight = self.add_parameter(
                name, shape, initializer, trainable=False
            )
            setattr(self, name, weight)

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {
            **super().parameters,
            "moving_stddev": self.moving_stddev,
            "renorm_mean": self.renorm_mean,
            "renorm_stddev": self.renorm_stddev,
        }

    def training_coefficients(
        self, moments: Moments, instance: Moments, params: Params
    ) -> Coefficients:
        if self.renorm:
            params = batch_renorm.corrected(
                moments, params, self.renorm_clipping, self.epsilon
            )
        return self.algebra(moments, instance, params)

    @property
    def pooled_affine(self) -> PooledAffine | None:
        return self._pooled_affine(BatchNormalization, not self.renorm)

    def running_target(
        self, batch: Moments, rows: Moments, params: Params
    ) -> Moments:
        total = self.running_variance == "total"
        statistics = self.ghost_statistics
        # The average of the ghost batches' second moments is the second moment
        # of the batch.
        is_batch = statistics == "batch" or (statistics == "average" and total)
        if self.ghost_batch_size is None or is_batch:
            return batch
        if statistics == "average":
            return ghost.average(batch, rows, self.ghost_batch_size)
        return ghost.sequential(
            batch,
            rows,
            self.ghost_batch_size,
            self.momentum,
            params.moving_mean,
            params.moving_variance,
            total,
        )

    def updated_state(
        self, mean: Tensor, variance: Tensor, params: Params
    ) -> dict[str, Tensor]:
        state = super().updated_state(mean, variance, params)
        if self.renorm:
            settings = self.momentum, self.renorm_momentum, self.epsilon
            state |= batch_renorm.updated_state(
                mean, variance, params, *settings
            )
        return state

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
            "ghost_batch_size": self.ghost_batch_size,
            "ghost_statistics": self.ghost_statistics,
        }
