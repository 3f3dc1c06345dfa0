from typing import Any

import keras

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.layers.batch_normalization import BatchNormalization
from keras_norms.types import Config


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class CrossReplicaBatchNormalization(BatchNormalization):
    """Batch normalization over the examples of all replicas, exactly.

    ```
    training    y = activation(gamma[c] (x - mean[c]) / sqrt(var[c] + epsilon)
                               + beta[c])
    inference   the same with moving_mean and moving_variance
    ```

    The mean and the (biased) variance of channel c are taken over the examples
    and positions of all replicas of a `tf.distribute` strategy. They are
    merged from the counts, means and variances of the replicas, so the
    outputs, gradients and moving averages are equal to those of one device on
    the joined batch, also where replicas hold unequal numbers of examples or
    none, and under masks.

    The layer is `BatchNormalization` with `synchronized=True` and has the same
    weights. It runs one all-reduce forward and one backward, and none outside
    of a strategy.

    {{batch_modes}}

    Args:
        replicas_per_group: Integer, the number of neighboring replicas whose
            statistics are merged (those of one machine, for example), a
            divisor of the number of replicas, or `None` for all replicas. The
            moving averages cover all replicas in any case. Defaults to `None`.
        synchronized: Boolean, which must be `True`. It is an argument so that
            saved configurations load. Defaults to `True`.
        momentum: Float, momentum of the moving averages. Defaults to `0.99`.
        epsilon: Float that is added to the variance. Defaults to `1e-3`.
        {{axis}}
        {{parameter_args}}
        {{running_args}}
        {{renorm_args}}
        ghost_batch_size: `None`, because ghost batches and `synchronized`
            exclude each other. Defaults to `None`.
        {{ghost_statistics}}
        {{inference_weight}}
        {{running_variance}}
        {{frozen_statistics}}
        {{layer_kwargs}}

    {{batch_call_sections}}

    Raises:
        ValueError: If `replicas_per_group` is not a positive divisor of the
            number of replicas, or if `synchronized` is `False`.
        {{running_errors}}
        {{batch_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.CrossReplicaBatchNormalization(epsilon=0.0)
    >>> x = np.array([[1.0, 10.0], [3.0, 50.0]])
    >>> print(np.array(layer(x, training=True)))
    [[-1. -1.]
     [ 1.  1.]]

    Reference:

    - Peng et al., MegDet, 2018,
      [arXiv 1711.07240](https://arxiv.org/abs/1711.07240), section 3.3.
    - Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for
      Computing Sample Variances, 1979, for the merge.
    """

    def __init__(
        self,
        replicas_per_group: int | None = None,
        synchronized: bool = True,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        if not synchronized:
            raise ValueError(
                "CrossReplicaBatchNormalization must be synchronized. "
                f"Received: synchronized={synchronized!r}. Use "
                "BatchNormalization for separate statistics on each replica."
            )
        super().__init__(
            synchronized=True, momentum=momentum, epsilon=epsilon, **kwargs
        )
        self.replicas_per_group = validation.replicas(replicas_per_group)

    @classmethod
    def from_config(cls, config: Config) -> "CrossReplicaBatchNormalization":
        # That of Keras's layer says that it is not synchronized.
        return super().from_config({**config, "synchronized": True})

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "replicas_per_group": self.replicas_per_group,
        }
