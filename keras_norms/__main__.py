"""`python -m keras_norms info | build | benchmark`."""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def info(_):
    """What is installed, and what of it is active."""
    import keras
    import tensorflow as tf

    import keras_norms
    from keras_norms import library
    from keras_norms.library import cache
    from keras_norms.ops import native

    print(f"keras_norms {keras_norms.__version__}")
    print(f"keras {keras.__version__}, backend {keras.backend.backend()}")
    print(f"tensorflow {tf.__version__}")
    print(f"KERAS_NORMS_NATIVE={native.mode()}")
    for name, what in (
        (cache.LIBRARY, "eager and graph mode"),
        (cache.XLA_LIBRARY, "under XLA"),
    ):
        why = library.reason(name)
        if native.mode() == "never":
            why = "not used, as KERAS_NORMS_NATIVE=never asks"
        print(f"native library, {what}: {why or 'active'}")
    gpus = (
        ", ".join(cache.gpus()) or "none, as there was no NVRTC to build with"
    )
    print(f"its kernels for GPUs: {gpus}")
    print(f"its folder: {cache.folder()}")


def build(options):
    """Compiles the native library for the TensorFlow that is installed."""
    from keras_norms import library
    from keras_norms.library import cache

    try:
        library.build(force=options.force, xla=options.xla, gpus=options.gpus)
    except library.UnusableError as error:
        sys.exit(str(error))
    for name in (cache.LIBRARY, cache.XLA_LIBRARY)[: 1 + options.xla]:
        why = library.reason(name)
        if why:
            sys.exit(why)


def compare(_):
    """Times the layers on this machine against those of Keras."""
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
    options.run(options)


if __name__ == "__main__":
    main()
