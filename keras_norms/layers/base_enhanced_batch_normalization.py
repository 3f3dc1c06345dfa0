"""Batch normalization with a convolution in the place of gamma and beta."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_norms import validation
from keras_norms.engine.params import Params
from keras_norms.engine.spec import Algebra
from keras_norms.engine.spec import NormSpec
from keras_norms.layers import kernel_initializers
from keras_norms.layers.base_calibrated_batch_normalization import (
    BaseCalibratedBatchNormalization,
)
from keras_norms.layers.enhanced_affine import EnhancedAffine
from keras_norms.layers.serialization import serialized
from keras_norms.types import Config
from keras_norms.types import Identifier
from keras_norms.types import Shape
from keras_norms.types import Tensor


class BaseEnhancedBatchNormalization(BaseCalibratedBatchNormalization):
    """Base class with the affine transformation of unified batch norm.

    ```
    depthwise   y = gate[n, c] (sum over d of kernel[d, c] xhat[n, p + d, c]
                                + bias[c])
    channel     y = gate[n, c] (gamma[c] xhat + beta[c])
    ```

    Without a scale calibration, the gate is 1. `convolution`, an
    `EnhancedAffine`, is `None` with `affine="channel"` or `scale=False`. See
    `UnifiedBatchNormalization`.
    """

    def __init__(
        self,
        affine: str = "depthwise",
        kernel_size: int = 3,
        kernel_initializer: Identifier = "identity",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.affine = validation.one_of(
            "affine", affine, "depthwise", "channel"
        )
        self.kernel_size = validation.odd("kernel_size", kernel_size)
        self.kernel_initializer = kernel_initializers.get(kernel_initializer)
        self.convolution: EnhancedAffine | None = None
        if affine == "depthwise" and self.scale:
            self.convolution = self._create_convolution()

    def _create_convolution(self) -> EnhancedAffine:
        return EnhancedAffine(
            axis=self.axis,
            kernel_size=self.kernel_size,
            use_bias=self.center,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.beta_initializer,
            kernel_regularizer=self.gamma_regularizer,
            bias_regularizer=self.beta_regularizer,
            kernel_constraint=self.gamma_constraint,
            bias_constraint=self.beta_constraint,
            activation=self.activation,
            dtype=self.dtype_policy,
            name="enhanced_affine",
        )

    @property
    def kernel(self) -> Any:
        """The kernel of the depthwise convolution, or `None`."""
        return getattr(self.convolution, "kernel", None)

    @property
    def bias(self) -> Any:
        """The bias of the depthwise convolution, or `None`."""
        return getattr(self.convolution, "bias", None)

    def build_affine(self, input_shape: Shape) -> None:
        if self.convolution is None:
            super().build_affine(input_shape)
        else:
            self.convolution.build(input_shape)

    def norm_spec(self, algebra: Algebra, **fields: Any) -> NormSpec:
        spec = super().norm_spec(algebra, **fields)
        if self.convolution is None:
            return spec
        return dataclasses.replace(spec, activation=None)

    def gated(
        self, gate: Tensor, params: Params
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The gate multiplies the shift, too."""
        gamma, _, outputs = super().gated(gate, params)
        beta = None if params.beta is None else gate * params.beta
        if self.convolution is not None:
            outputs = {"gate": gate}
        return gamma, beta, outputs

    def transform_output(
        self, y: Tensor, outputs: Mapping[str, Tensor], mask: Tensor | None
    ) -> Tensor:
        if self.convolution is None:
            return y
        return self.convolution.transform(y, mask, outputs.get("gate"))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "affine": self.affine,
            "kernel_size": self.kernel_size,
            **serialized(self, "kernel_initializer"),
        }
