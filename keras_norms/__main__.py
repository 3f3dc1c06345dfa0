"""`python -m keras_norms info | build | benchmark`."""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def info(_):
    """What is installed, and what of it is active."""
    import keras

    import keras_norms
    from keras_norms.native import cache
    from keras_norms.native import dispatch
    from keras_norms.native import loader
    from keras_norms.native.errors import UnusableError

    def or_why_not(function):
        try:
            return function()
        except UnusableError as error:
            return f"unusable. {error}"

    backend = keras.backend.backend()
    print(f"keras_norms {keras_norms.__version__}")
    print(f"keras {keras.__version__}, backend {backend}")
    print(f"tensorflow {or_why_not(lambda: cache.tensorflow().__version__)}")
    print(f"KERAS_NORMS_NATIVE={dispatch.mode()}")
    for name, what in (
        (cache.LIBRARY, "eager and graph mode"),
        (cache.XLA_LIBRARY, "under XLA"),
    ):
        state = or_why_not(lambda name=name: loader.load(name) and "active")
        if dispatch.mode() == "never":
            state = "not used, as KERAS_NORMS_NATIVE=never asks"
        elif backend != "tensorflow":
            state = f"not used, as Keras's backend is {backend}"
        print(f"native library, {what}: {state}")
    none = "none, as there was no NVRTC to build with"
    gpus = or_why_not(lambda: ", ".join(cache.gpus()) or none)
    print(f"its kernels for GPUs: {gpus}")
    print(f"its folder: {or_why_not(cache.folder)}")


def build(options):
    """Compiles the native library for the TensorFlow that is installed."""
    from keras_norms.native import cache
    from keras_norms.native import loader
    from keras_norms.native.build import build

    build(force=options.force, xla=options.xla, gpus=options.gpus)
    for name in (cache.LIBRARY, cache.XLA_LIBRARY)[: 1 + options.xla]:
        loader.load(name)


def compare(_):
    """Times the layers on this machine against those of Keras."""
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        sys.exit(
            "The benchmark times layers on Keras's TensorFlow backend. "
            f"Received: the backend {backend}. Set KERAS_BACKEND=tensorflow."
        )
    from keras_norms import benchmark

    benchmark.main()


def main():
    parser = argparse.ArgumentParser(prog="python -m keras_norms")
    commands = parser.add_subparsers(required=True)
    named = {"info": info, "build": build, "benchmark": compare}
    for name, command in named.items():
        sub = commands.add_parser(name, help=command.__doc__)
        sub.set_defaults(run=command)
        if command is build:
            sub.add_argument(
                "--force", action="store_true", help="even if it is there"
            )
            sub.add_argument(
                "--no-xla",
                dest="xla",
                action="store_false",
                help="without XLA's part",
            )
            sub.add_argument(
                "--no-gpus",
                dest="gpus",
                action="store_false",
                help="without kernels for GPUs, in half of the time",
            )
    options = parser.parse_args()
    from keras_norms.native.errors import UnusableError

    try:
        options.run(options)
    except UnusableError as error:
        sys.exit(str(error))
    except Exception as error:
        # Whatever is broken in an installation: a sentence, not a traceback.
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
