import inspect
from typing import Any

import keras

from keras_norms import validation
from keras_norms.docstrings import insert_blocks
from keras_norms.layers.base_enhanced_batch_normalization import (
    BaseEnhancedBatchNormalization,
)
from keras_norms.layers.base_similarity_batch_normalization import (
    BaseSimilarityBatchNormalization,
)
from keras_norms.layers.earlier import unified_batch_normalization as earlier
from keras_norms.types import Config
from keras_norms.types import Identifier


@keras.saving.register_keras_serializable(package="keras_norms")
@insert_blocks
class UnifiedBatchNormalization(
    BaseSimilarityBatchNormalization, BaseEnhancedBatchNormalization
):
    """Unified batch normalization, by its authors' published code.

    ```
    similarity = similarity_momentum similarity
                 + (1 - similarity_momentum) cosine
    x' = x + center_weight[c] g[n, c]
    z = (x' - mean[c]) / sqrt(var[c] + epsilon)
    y = activation(sigmoid(scale_weight[c] gz[n, c] + scale_bias[c])
                   (sum over d of kernel[d, c] z[n, p + d, c] + bias[c]))
    ```

    The cosine is the mean of those between the inputs of different examples,
    over the first `similarity_examples` of the batch. It is 1 for one example.
    Its moving average, `similarity`, starts at 1. In training, while
    `similarity > bound`, the mean and the (biased) variance are those of
    channel c of x' over the batch, and the running statistics are updated.
    Otherwise, they are `moving_mean` and `moving_variance`, which do not
    change. So the running statistics follow as long as the features of
    different examples are alike, and in the first steps (18 with the defaults,
    if cosines are not negative).

    g and gz are the means of channel c of x and of z over the positions of
    example n, as in `RepresentativeBatchNormalization`. The depthwise
    convolution is that of `EnhancedAffine`, with zeros around z and masked
    positions. At rank 2, its kernel is gamma and its bias is beta.
    `center_weight`, `scale_weight` and `bias` start at 0, `scale_bias` at 1
    and the kernel at the identity, so a new layer is `sigmoid(1) = 0.731`
    times batch normalization. With `bound=-1`, `affine="channel"` and neither
    calibration, the layer is `BatchNormalization`, bit for bit.

    `float(layer.similarity.numpy())` reads the moving average, also in a
    callback's `on_epoch_end`. `model._flatten_layers()` has the layers of
    nested models.

    {{batch_masking}}
    Masked positions have no features, and are 0 for the convolution.

    {{batch_inference}}
    The gate plays no part, and no cosine is computed.

    {{batch_replicas}}
    The cosine is that of the first examples of the joined batch if
    `synchronized` (two more all-reduces), and otherwise the mean of the
    cosines of the replicas (one more).

    Args:
        bound: Float from -1 to 1, which the moving average of the cosine must
            exceed. Defaults to `0.15`, as in the authors' script.
        similarity_momentum: Float from 0 to 1, the momentum of the moving
            average of the cosine. Defaults to `0.9`.
        similarity_examples: Integer, how many examples at the start of the
            batch are compared, or `None` for all. Defaults to `16`.
        calibrate_center: Boolean, whether each example's means calibrate the
            center. Defaults to `True`.
        calibrate_scale: Boolean, whether each example's means calibrate the
            scale. Defaults to `True`.
        affine: String, `"depthwise"`, see above, or `"channel"` for gamma and
            beta, one number per channel. Defaults to `"depthwise"`.
        kernel_size: Integer, the odd size of the depthwise kernel. Defaults to
            `3`.
        kernel_initializer: Initializer for the depthwise kernel:
            `"identity"`, `"uniform"` (the authors', see `EnhancedAffine`, with
            which short training under-fits), or an initializer of Keras.
            Defaults to `"identity"`.
        momentum: Float, momentum of the moving averages. Defaults to `0.9`.
        epsilon: Float that is added to the variance. Defaults to `1e-5`.
        reading: String, `"published"`, or `"0.1"` for the deprecated layer of
            version 0.1 with its arguments, as which saved configurations of
            that version load. Defaults to `"published"`.
        {{batch_args}}
            With `affine="depthwise"`, `scale` is whether there is a
            convolution, `gamma_regularizer` and `gamma_constraint` are those
            of its kernel, `center` and the arguments of `beta` are those of
            its bias, and the activation is applied after it.

    {{batch_call_sections}}

    Raises:
        ValueError: If `bound` is outside [-1, 1], if `similarity_momentum` is
            outside [0, 1], if `similarity_examples` is below 1, if `affine` or
            `reading` is unknown, if `kernel_size` is not an odd positive
            integer, or if a convolution gets inputs of a rank above 5.
        {{running_errors}}

    Example:

    >>> import numpy as np
    >>> import keras_norms
    >>> layer = keras_norms.layers.UnifiedBatchNormalization(
    ...     bound=0.5, similarity_momentum=0.5, momentum=0.0)
    >>> for x in ([[1.0], [2.0]], [[-1.0], [2.0]]):
    ...     y = layer(np.array(x), training=True)
    ...     print(layer.similarity.numpy(), layer.moving_mean.numpy())
    1.0 [1.5]
    0.0 [1.5]

    Reference:

    - Wang et al., Unified Batch Normalization, 2023,
      [arXiv 2311.15993](https://arxiv.org/abs/2311.15993). The formulas are
      those of the second author's published code.
    - Gao et al., 2021, see `RepresentativeBatchNormalization`, and Xu et al.,
      2020, see `EnhancedAffine`.
    """

    def __new__(
        cls, *args: Any, reading: str = "published", **kwargs: Any
    ) -> Any:
        validation.one_of("reading", reading, "published", "0.1")
        if reading == "0.1":
            return earlier.UnifiedBatchNormalization(*args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        bound: float = 0.15,
        similarity_momentum: float = 0.9,
        similarity_examples: int | None = 16,
        calibrate_center: bool = True,
        calibrate_scale: bool = True,
        affine: str = "depthwise",
        kernel_size: int = 3,
        kernel_initializer: Identifier = "identity",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        reading: str = "published",
        **kwargs: Any,
    ) -> None:
        validation.unified_of_version_0_1(kwargs)
        super().__init__(
            bound=bound,
            similarity_momentum=similarity_momentum,
            similarity_examples=similarity_examples,
            affine=affine,
            kernel_size=kernel_size,
            kernel_initializer=kernel_initializer,
            momentum=momentum,
            epsilon=epsilon,
            **kwargs,
        )
        self.centers = validation.boolean("calibrate_center", calibrate_center)
        self.calibrate_scale = validation.boolean(
            "calibrate_scale", calibrate_scale
        )
        self.reading = reading

    @property
    def gate_of(self) -> str | None:
        return "normalized" if self.calibrate_scale else None

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "reading": self.reading,
            "calibrate_center": self.centers,
            "calibrate_scale": self.calibrate_scale,
        }

    @classmethod
    def from_config(cls, config: Config) -> keras.layers.Layer:
        if set(validation.UNIFIED_OF_VERSION_0_1) & set(config):
            config = {**config, "reading": "0.1"}
        return super().from_config(config)


# The signature of a class is that of `__new__`, where it has one.
UnifiedBatchNormalization.__new__.__signature__ = (  # type: ignore[attr-defined]
    inspect.signature(UnifiedBatchNormalization.__init__)
)
