"""What an activation must be."""

import functools
from types import FunctionType

import keras
from keras import ops

_SHAPE = (2, 3)
# Keras saves their functions by name, and loads its own of that name.
_LIBRARIES = ("keras", "tensorflow", "jax", "torch")


def activation(name, value):
    """A function of one tensor, of its shape, that a saved model finds."""
    if isinstance(value, dict):
        function = keras.activations.get(value)
    else:
        try:
            function = keras.activations.get(value)
        except ValueError:
            _refuse_call(name, value, "is not an activation")
    named = value is None or isinstance(value, str)
    found = function if named else _loaded(function)
    called = function if found is None else found
    if _library(called) == "keras" and isinstance(called, FunctionType):
        problem = _problem_of_keras(called)
    else:
        problem = _problem(called)
    if problem is not None:
        _refuse_call(name, value, problem)
    if found is None:
        raise ValueError(
            f"`{name}` must be found again when a saved model is loaded. "
            f"Received: {name}={value!r}, which Keras does not find. Define a "
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


def _loaded(function):
    """What loading gives for the saved function; None for another one."""
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
    except Exception:  # Keras, or `get_config`, raises what it likes.
        return None
    if not isinstance(saved, str) and saved["class_name"] != "function":
        return loaded if type(loaded) is type(function) else None
    by_name = isinstance(saved, str) and _library(function) in _LIBRARIES
    return loaded if loaded is function or by_name else None


def _library(function):
    return (getattr(function, "__module__", None) or "").split(".")[0]


def _problem(function):
    """What is wrong with a call, as the end of a sentence, or None."""
    if isinstance(function, type):
        return "is a class and not an instance of it"
    try:
        if isinstance(function, keras.layers.Layer):
            shape = function.compute_output_shape(_SHAPE)
        else:
            result = _result(function)
            if not ops.is_tensor(result):
                return f"returns an object of type {type(result).__name__}"
            shape = result.shape
    except NotImplementedError:
        return None  # Of a layer that does not say, or needs its values.
    except Exception as error:
        return f"raises {type(error).__name__}"
    if getattr(shape, "rank", 0) is None:
        return None
    shape = tuple(shape)
    same = len(shape) == len(_SHAPE) and all(
        have in (None, want) for have, want in zip(shape, _SHAPE, strict=True)
    )
    return None if same else f"returns shape {shape} for shape {_SHAPE}"


# Of few functions, which stay: once each is enough.
_problem_of_keras = functools.cache(_problem)


def _result(function):
    """Of zeros, without a trace in any graph that is being built."""
    if keras.backend.backend() != "tensorflow":
        return function(ops.zeros(_SHAPE))
    import tensorflow as tf

    # Devices can still be configured after this, unlike after an eager
    # operation. A function that holds an eager tensor needs one.
    try:
        with tf.Graph().as_default():
            return function(tf.zeros(_SHAPE))
    except Exception:
        with tf.init_scope():
            return function(tf.zeros(_SHAPE))
