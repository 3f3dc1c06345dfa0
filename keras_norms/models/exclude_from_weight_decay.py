"""Weight decay on gamma and beta, by model family."""

import keras

from keras_norms import validation
from keras_norms.layers.base_normalization import BaseNormalization
from keras_norms.models.traversal import forget_traces
from keras_norms.models.traversal import layers_within

_NORMALIZATIONS = (
    BaseNormalization,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)
_AFFINE = ("gamma", "beta", "scale")


def exclude_from_weight_decay(optimizer, model, family="plain", biases=False):
    """Tells an optimizer which parameters of normalizations do not decay.

    Decay of gamma and beta regularizes where paths without a normalization
    lead from them to the output, and not where the next normalization undoes
    it. So the paper found it to help residual networks (CIFAR-100 +0.3
    points, p = 0.002; ResNet-50 on Caltech-256 +0.91) and not Inception-v3
    (-0.13):

        family="residual"   gamma and beta decay as other weights do
        family="plain"      they do not decay

    The other parameters of one number a channel that normalizations have (rho
    of `BatchInstanceNormalization`, weights of calibrations, logits) decay in
    neither; kernels, those of `DynamicNormalization` too, decay in both.

    Keras does not save what an optimizer excludes. Where training goes on
    from a file, call this again before `fit`, on the optimizer that came with
    the model: `exclude_from_weight_decay(model.optimizer, model)`.

    Arguments:
        optimizer: of Keras, with `weight_decay`, the one that trains the
            model. Keras keeps the last call's variables only.
        model: a built model, or a layer, nested ones and those of
            `keras.layers` included.
        family: "residual" for networks whose additions let gamma and beta
            reach the output beside later normalizations (ResNet), "plain" for
            all others, Inception's branches among them.
        biases: whether biases of all layers do not decay either.

    Returns: the variables that do not decay.

    Raises: ValueError for an unknown family, a model that is not built or
        has no normalization, what is not an optimizer or has no
        `weight_decay`.

    Example:

    >>> import keras
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((8,)),
    ...     keras.layers.Dense(4),
    ...     keras_norms.layers.BatchNormalization(),
    ... ])
    >>> optimizer = keras.optimizers.AdamW(weight_decay=1e-4)
    >>> excluded = keras_norms.models.exclude_from_weight_decay(
    ...     optimizer, model)
    >>> print([variable.name for variable in excluded])
    ['gamma', 'beta']

    Source: Summers and Dinneen, Four Things Everyone Should Know to Improve
    Batch Normalization, ICLR 2020 (arXiv 1906.03548), section on weight decay.
    """
    family = validation.one_of("family", family, "plain", "residual")
    validation.boolean("biases", biases)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            "`optimizer` must be an optimizer of Keras. Received: "
            f"optimizer={optimizer!r}. Make it, as in `keras.optimizers.AdamW("
            "weight_decay=1e-4)`, and give the same one to `compile`."
        )
    # A LossScaleOptimizer scales; the one inside decays.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.weight_decay:
        raise ValueError(
            "The optimizer must have weight decay. Received: "
            f"{type(optimizer).__name__} with weight_decay="
            f"{optimizer.weight_decay}. Set it, or leave this call out."
        )
    if not model.built:
        raise ValueError(
            "A model must be built before its variables are told apart. "
            f"Received: {model.name!r}, not built. Call `model.build(shape)` "
            "or give it an `Input`."
        )
    layers = layers_within(model)
    normalizations = [la for la in layers if isinstance(la, _NORMALIZATIONS)]
    if not normalizations:
        raise ValueError(
            "The model must have a normalization, of keras_norms or of "
            f"keras.layers. Received: {model.name!r} with none. Give the "
            "model that has them."
        )
    excluded = {}
    for layer in normalizations:
        # Of frozen layers too: they may be trained after all.
        for variable in layer._trainable_variables:
            decays = "kernel" in variable.name or (
                family == "residual" and variable.name in _AFFINE
            )
            if not decays:
                excluded[id(variable)] = variable
    if biases:
        for layer in layers:
            bias = getattr(layer, "bias", None)
            if isinstance(bias, keras.Variable):
                excluded[id(bias)] = bias
    excluded = list(excluded.values())
    optimizer.exclude_from_weight_decay(var_list=excluded)
    forget_traces(model)
    return excluded
