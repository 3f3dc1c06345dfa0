"""Names the package to install if the backend of Keras is missing."""

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "tensorflow":
        raise
    raise ModuleNotFoundError(
        "keras_norms needs TensorFlow 2.20 or later, which is not installed. "
        "Install it with `pip install keras-norms[cpu]`, or with `pip install "
        "keras-norms[gpu]` for NVIDIA GPUs on Linux, or set KERAS_BACKEND to "
        "a backend of Keras that is installed.",
        name="tensorflow",
    ) from error
