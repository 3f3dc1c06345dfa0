"""Folds batch normalizations into the layers next to them."""

from collections import Counter
from typing import Any

import keras

from keras_norms import validation
from keras_norms.models.copying import copy_with
from keras_norms.models.folding import folded_after
from keras_norms.models.folding import folded_before
from keras_norms.models.folding import identity
from keras_norms.models.folding import is_static
from keras_norms.models.traversal import layers_within


def fold_batch_normalization(model: keras.Model) -> keras.Model:
    """Returns a copy of a model for inference, without batch normalizations.

    A batch normalization after a convolution or a dense layer is a part of
    it at inference:

    ```
    a = gamma / sqrt(moving_variance + epsilon)
    kernel' = a kernel
    bias' = a (bias - moving_mean) + beta
    ```

    The layers before may be of the kinds `Dense`, `Conv`, `DepthwiseConv`,
    `SeparableConv` and `ConvTranspose` of any rank, with a linear activation.
    A batch normalization before a `Dense`, or before a `Conv` that does not
    pad its inputs, is folded into that layer. Layers are found in sequential
    and functional models at any depth of nesting. A layer that is used more
    than once, or whose output another layer reads too, stays as it is, and so
    does a batch normalization next to none of these.

    The batch normalization of the copy is a `keras.layers.Identity` of the
    same name. Its activation becomes that of the layer before. The outputs at
    inference are those of the model but for rounding. Do not train the copy.
    The model does not change.

    Batch normalizations are those of Keras, `BatchNormalization`,
    `GhostBatchNormalization`, `CrossReplicaBatchNormalization` and
    `BatchGroupNormalization` with `inference_weight=0`. The outputs of others
    depend on the moments of each example.

    Args:
        model: Built sequential or functional model.

    Returns:
        The new model.

    Raises:
        ValueError: If `model` is not a built model, or if it has no batch
            normalization that can be folded.

    Example:

    >>> import keras
    >>> import keras_norms
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras.layers.Conv2D(4, 3, use_bias=False),
    ...     keras_norms.layers.BatchNormalization(activation="relu"),
    ... ])
    >>> folded = keras_norms.models.fold_batch_normalization(model)
    >>> print([type(layer).__name__ for layer in folded.layers])
    ['Conv2D', 'Identity']
    >>> print(folded.layers[0].activation.__name__, folded.count_params())
    relu 112

    Reference:

    - Jacob et al., Quantization and Training of Neural Networks for Efficient
      Integer-Arithmetic-Only Inference, 2017,
      [arXiv 1712.05877](https://arxiv.org/abs/1712.05877), section 3.2.
    """
    validation.built_model(model)
    replacements: dict[int, tuple[Any, Any]] = {}
    for graph in layers_within(model):
        for before, after in _neighbors(graph):
            taken = id(before) in replacements or id(after) in replacements
            if taken:
                continue
            if is_static(after) and (new := folded_before(before, after)):
                replacements[id(before)] = before, new
                replacements[id(after)] = after, identity(after)
            elif is_static(before) and (new := folded_after(before, after)):
                replacements[id(before)] = before, identity(before)
                replacements[id(after)] = after, new
    if not replacements:
        raise ValueError(
            "The model must have a batch normalization directly after or "
            "before a convolution or a dense layer. Received: "
            f"{model.name!r}, in which none can be folded. Convert other "
            "normalizations to batch normalizations first."
        )
    return copy_with(model, list(replacements.values()))


def _neighbors(model: Any) -> list[tuple[Any, Any]]:
    """Pairs of layers, the second of which alone reads the first.

    Both are called once, in this model.
    """
    if isinstance(model, keras.Sequential):
        layers = model.layers
        calls = [(layers[k - 1 : k], layer) for k, layer in enumerate(layers)]
        outputs = layers[-1:]
    elif isinstance(model, keras.Model) and hasattr(model, "operations"):
        calls, outputs = _calls_of_functional(model)
    else:
        return []
    times = Counter(id(layer) for _, layer in calls)
    reads = Counter(id(layer) for inputs, _ in calls for layer in inputs)
    reads.update(map(id, outputs))
    return [
        (inputs[0], layer)
        for inputs, layer in calls
        if len(inputs) == 1
        and times[id(layer)] == times[id(inputs[0])] == 1
        and reads[id(inputs[0])] == 1
        and not _is_shared(layer)
        and not _is_shared(inputs[0])
    ]


def _calls_of_functional(model: Any) -> tuple[list[Any], list[Any]]:
    """The layers that each layer reads, and those whose outputs are read."""

    def sources(tensors: Any) -> list[Any]:
        return [
            t._keras_history.operation for t in keras.tree.flatten(tensors)
        ]

    # Keras has no public list of the calls in a model.
    nodes = [n for each in model._nodes_by_depth.values() for n in each]
    calls = [
        (sources(node.input_tensors), node.operation)
        for node in nodes
        if not node.is_input
    ]
    return calls, sources(model.outputs)


def _is_shared(layer: Any) -> bool:
    """Whether a layer is called in several places, or in another model."""
    return len(layer._inbound_nodes) > 1
