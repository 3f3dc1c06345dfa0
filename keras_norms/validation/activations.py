"""Checks of activations."""

import functools
from types import FunctionType

import keras
from keras import ops

_SHAPE = (2, 3)
# Keras saves the functions of these packages by name, and loads its own
# function of that name.
_PACKAGES = ("keras", "tensorflow", "jax", "torch")


def activation(name, value):
    """Checks an activation, and returns it as a function.

    It must take one tensor, return a tensor of the same shape, and be loadable
    from a saved model.
    """
    if isinstance(value, dict):
        function = keras.activations.get(value)
    else:
        try:
            function = keras.activations.get(value)
        except ValueError:
            _refuse_call(name, value, "is not an activation")
    is_name = value is None or isinstance(value, str)
    loaded = function if is_name else _save_and_load(function)
    candidate = function if loaded is None else loaded
    if _package(candidate) == "keras" and isinstance(candidate, FunctionType):
        problem = _cached_problem(candidate)
    else:
        problem = _problem(candidate)
    if problem is not None:
        _refuse_call(name, value, problem)
    if loaded is None:
        raise ValueError(
            f"Keras must be able to load `{name}` from a saved model. "
            f"Received: {name}={value!r}, which Keras cannot load. Define a "
            "function with `def`, or a class with `get_config` and "
            "`from_config`, and decorate it with "
            "`@keras.saving.register_keras_serializable()`."
        )
    return function


def _refuse_call(name, value, problem):
    raise ValueError(
        f"`{name}` must take one tensor and return a tensor of the same "
        f"shape. Received: {name}={value!r}, which {problem}. Use the name of "
        'an activation of Keras such as "relu", a registered function or an '
        "instance of a layer such as `keras.layers.ReLU()`."
    )


def _save_and_load(function):
    """The function as a saved model loads it, or `None` if it cannot."""
    if getattr(function, "__name__", None) == "<lambda>":
        return None
    try:
        saved = keras.activations.serialize(function)
        if isinstance(saved, str):
            loaded = keras.activations.get(saved)
        else:
            loaded = keras.saving.deserialize_keras_object(
                saved, safe_mode=True
            )
    except Exception:  # Keras and `get_config` may raise any exception.
        return None
    if not isinstance(saved, str) and saved["class_name"] != "function":
        return loaded if type(loaded) is type(function) else None
    by_name = isinstance(saved, str) and _package(function) in _PACKAGES
    return loaded if loaded is function or by_name else None


def _package(function):
    return (getattr(function, "__module__", None) or "").split(".")[0]


def _problem(function):
    """The problem of a call, as the end of a sentence, or `None`."""
    if isinstance(function, type):
        return "is a class and not an instance of it"
    try:
        if isinstance(function, keras.layers.Layer):
            shape = function.compute_output_shape(_SHAPE)
        else:
            result = _call_on_zeros(function)
            if not ops.is_tensor(result):
                return f"returns an object of type {type(result).__name__}"
            shape = result.shape
    except NotImplementedError:
        return None  # The layer has no `compute_output_shape`.
    except Exception as error:
        return f"raises {type(error).__name__}"
    if getattr(shape, "rank", 0) is None:
        return None
    shape = tuple(shape)
    same = len(shape) == len(_SHAPE) and all(
        size in (None, want) for size, want in zip(shape, _SHAPE, strict=True)
    )
    return None if same else f"returns shape {shape} for shape {_SHAPE}"


# Keras has few functions, and they do not change.
_cached_problem = functools.cache(_problem)


def _call_on_zeros(function):
    """Calls the function, and adds no operation to a graph that is traced."""
    if keras.backend.backend() != "tensorflow":
        return function(ops.zeros(_SHAPE))
    import tensorflow as tf

    # Devices can no longer be configured after an eager operation, so a graph
    # is used first. A function that holds an eager tensor cannot run in it.
    try:
        with tf.Graph().as_default():
            return function(tf.zeros(_SHAPE))
    except Exception:
        with tf.init_scope():
            return function(tf.zeros(_SHAPE))
