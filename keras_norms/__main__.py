"""The commands `python -m keras_norms info | build | benchmark`."""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def info(_):
    """Prints the installed versions, and whether the library is active."""
    import keras

    import keras_norms
    from keras_norms.native import cache
    from keras_norms.native import dispatch
    from keras_norms.native import loader
    from keras_norms.native.errors import UnusableError

    def result_or_problem(function):
        try:
            return function()
        except UnusableError as error:
            return f"unusable. {error}"

    backend = keras.backend.backend()
    print(f"keras_norms {keras_norms.__version__}")
    print(f"keras {keras.__version__}, backend {backend}")
    version = result_or_problem(lambda: cache.tensorflow().__version__)
    print(f"tensorflow {version}")
    print(f"KERAS_NORMS_NATIVE={dispatch.mode()}")
    for name, use in (
        (cache.LIBRARY, "eager and graph mode"),
        (cache.XLA_LIBRARY, "under XLA"),
    ):
        state = result_or_problem(
            lambda name=name: loader.load(name) and "active"
        )
        if dispatch.mode() == "never":
            state = "not used, because KERAS_NORMS_NATIVE is never"
        elif backend != "tensorflow":
            state = f"not used, because the backend of Keras is {backend}"
        print(f"native library, {use}: {state}")
    none = "none, because NVRTC was not installed during the build"
    gpus = result_or_problem(lambda: ", ".join(cache.gpus()) or none)
    print(f"GPU kernels of the library: {gpus}")
    print(f"folder of the library: {result_or_problem(cache.folder)}")


def build(options):
    """Compiles the native library for the installed version of TensorFlow."""
    from keras_norms.native import cache
    from keras_norms.native import loader
    from keras_norms.native.build import build

    build(force=options.force, xla=options.xla, gpus=options.gpus)
    for name in (cache.LIBRARY, cache.XLA_LIBRARY)[: 1 + options.xla]:
        loader.load(name)


def compare(_):
    """Compares the speed of the layers with Keras on this machine."""
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        sys.exit(
            "The benchmark needs the TensorFlow backend of Keras. Received: "
            f"the backend {backend}. Set KERAS_BACKEND=tensorflow."
        )
    from keras_norms import benchmark

    benchmark.main()


def main():
    parser = argparse.ArgumentParser(prog="python -m keras_norms")
    commands = parser.add_subparsers(required=True)
    functions = {"info": info, "build": build, "benchmark": compare}
    for name, command in functions.items():
        sub = commands.add_parser(name, help=command.__doc__)
        sub.set_defaults(run=command)
        if command is build:
            sub.add_argument(
                "--force",
                action="store_true",
                help="build the library even if it is built already",
            )
            sub.add_argument(
                "--no-xla",
                dest="xla",
                action="store_false",
                help="do not build the library of XLA",
            )
            sub.add_argument(
                "--no-gpus",
                dest="gpus",
                action="store_false",
                help="do not build the kernels for GPUs; takes half the time",
            )
    options = parser.parse_args()
    from keras_norms.native.errors import UnusableError

    try:
        options.run(options)
    except UnusableError as error:
        sys.exit(str(error))
    except Exception as error:
        # For any broken installation, print a sentence and no traceback.
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
