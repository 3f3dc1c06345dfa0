"""Copies of models in which some layers are replaced."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_norms.models.traversal import layers_within

Replacements = Sequence[tuple[keras.layers.Layer, keras.layers.Layer]]


def copy_with(model: keras.Model, replacements: Replacements) -> keras.Model:
    """Returns a copy of a model, with its weights and with some other layers.

    Shared layers stay shared, at any depth of nesting.

    Args:
        model: Built model. It does not change.
        replacements: pairs of a layer and of the built layer that takes its
            place.

    Raises:
        ValueError: If a layer cannot be restored from its configuration, or
            if another layer creates the one to replace when it is built.
    """
    copier = _Copier(replacements)
    copy = copier.copied(model)
    found = {id(layer) for layer in layers_within(copy)}
    for old, new in replacements:
        if id(new) not in found:
            raise ValueError(
                "A layer that is replaced must be an attribute, from the "
                "constructor on, of the layer that contains it. Received: "
                f"{old.name!r}, which is created later. Create it in "
                "`__init__`, or exclude it with `predicate`."
            )
    copier.copy_state()
    return copy


class _Copier:
    """Copies each layer once."""

    def __init__(self, replacements: Replacements) -> None:
        self._replacements = {id(old): new for old, new in replacements}
        self._replaced = replacements
        # Pairs of a layer and its copy, inner layers before outer ones.
        self._copies: dict[int, tuple[Any, Any]] = {}

    def copied(self, layer: Any) -> Any:
        """The copy of a layer, the same for each of its uses."""
        if id(layer) in self._replacements:
            return self._replacements[id(layer)]
        if not isinstance(layer, keras.layers.Layer):
            return type(layer).from_config(layer.get_config())
        if id(layer) not in self._copies:
            is_graph = isinstance(layer, keras.Model) and _has_graph(layer)
            copy = self._graph(layer) if is_graph else self._object(layer)
            self._copies[id(layer)] = layer, copy
        return self._copies[id(layer)][1]

    def _graph(self, model: keras.Model) -> keras.Model:
        """The copy of a sequential or functional model."""
        copy = self._of_same_class(model)
        if copy is not None:
            return copy
        functional = not isinstance(model, keras.Sequential)
        copy = keras.models.clone_model(
            model,
            clone_function=self.copied,
            call_function=_call_without_mask if functional else None,
        )
        if type(copy) is not type(model):
            warnings.warn(
                f"{model.name!r} is of the class {type(model).__name__}, "
                "which Keras cannot create from other layers. Its copy is of "
                f"the class {type(copy).__name__}, with the same inputs, "
                "outputs and weights, and without the methods of "
                f"{type(model).__name__}.",
                stacklevel=2,
            )
        return copy

    def _of_same_class(self, model: keras.Model) -> keras.Model | None:
        """A copy whose constructor receives copies of some layers, or `None`.

        A task of KerasHub is a functional model, but its configuration has the
        arguments of its constructor. One of them is the backbone, a layer.
        """
        try:
            config = dict(model.get_config())
        except NotImplementedError:
            return None
        inner = []
        for name, value in config.items():
            layer = getattr(model, name, None)
            if isinstance(value, dict) and _is_layer(layer):
                inner.append((name, layer))
        within = {id(e) for _, layer in inner for e in layers_within(layer)}
        replaced = [
            id(each)
            for each in layers_within(model)
            if id(each) in self._replacements
        ]
        if not inner or not within.issuperset(replaced):
            return None
        config.update({name: self.copied(layer) for name, layer in inner})
        try:
            copy = type(model).from_config(config)
        # The constructor may need a layer of another class.
        except (AttributeError, NotImplementedError, TypeError, ValueError):
            return None
        compiling = model.get_compile_config() if model.compiled else None
        # As in `clone_model`. Keras warns if `compile` is overridden.
        if compiling and type(model).compile is keras.Model.compile:
            copy.compile_from_config(compiling)
        return copy

    def _object(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """The copy of a layer or of a subclassed model."""
        try:
            copy = type(layer).from_config(layer.get_config())
        except (NotImplementedError, TypeError) as error:
            raise ValueError(
                "A layer must have a `get_config` from which `from_config` "
                "restores it, so that the model can be copied. Received: "
                f"{layer.name!r} of the class {type(layer).__name__}. "
                "Implement `get_config`."
            ) from error
        if any(
            id(each) in self._replacements for each in layers_within(layer)
        ):
            self._replace_attributes(layer, copy)
        return copy

    def _replace_attributes(self, layer: Any, copy: Any) -> None:
        """Replaces the layers that are attributes of an unbuilt copy."""
        for name, value in list(vars(layer).items()):
            # The lists of Keras and TensorFlow follow the other attributes.
            listed = name in vars(keras.Model()) or name.startswith("_self_")
            if listed or name not in vars(copy):
                continue
            # What `build` creates is not there yet.
            if not _has_layers(value) or not _has_layers(vars(copy)[name]):
                continue
            copies = keras.tree.map_structure(
                lambda each: self.copied(each) if _is_layer(each) else each,
                value,
            )
            for old, new in zip(
                keras.tree.flatten(vars(copy)[name]),
                keras.tree.flatten(copies),
                strict=True,
            ):
                if _is_layer(old):
                    # In the place of the other, for the order of the weights.
                    copy._tracker.replace_tracked_value("layers", old, new)
            setattr(copy, name, copies)

    def copy_state(self) -> None:
        """Copies weights, and which layers are trainable."""
        pairs = list(self._copies.values())
        # The flag of a model may set those of its layers, which come last.
        for layer, copy in (*reversed(pairs), *self._replaced):
            if copy.trainable != layer.trainable:
                copy.trainable = layer.trainable
        for layer, copy in pairs:
            if layer.built and not copy.built:
                copy.build_from_config(layer.get_build_config())
                # Keras leaves this out for subclassed models.
                copy.built = True
        done: set[int] = set()
        for layer, copy in self._replaced:
            done.update(id(v) for v in (*layer.weights, *copy.weights))
        for layer, copy in pairs:
            old = [v for v in layer.weights if id(v) not in done]
            new = [v for v in copy.weights if id(v) not in done]
            for source, target in zip(old, new, strict=True):
                target.assign(source)
            done.update(map(id, (*old, *new)))


def _call_without_mask(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer that may not have the `mask` of the one it replaces."""
    if kwargs.get("mask", 0) is None:
        del kwargs["mask"]
    return layer(*args, **kwargs)


def _is_layer(value: Any) -> bool:
    return isinstance(value, keras.layers.Layer)


def _has_layers(value: Any) -> bool:
    return any(map(_is_layer, keras.tree.flatten(value)))


def _has_graph(model: keras.Model) -> bool:
    """Whether a model is sequential or functional, not subclassed."""
    return isinstance(model, keras.Sequential) or hasattr(model, "operations")
