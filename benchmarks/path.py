"""Counts the files that x passes through, and how often it enters them.

    python -m benchmarks.path

For one training step of a batch normalization in eager mode, by each backend.
A file is on the path of x if one of its functions receives x, dy, or another
tensor of that size. It is entered where a function of another file calls such
a function; the count is the maximum over all call stacks, on the way down and
on the way back. The other files work on small tensors and settings.
"""

import collections
import inspect
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

import keras_norms

ROOT = pathlib.Path(keras_norms.__file__).parent


def _package_file(frame):
    path = pathlib.Path(frame.f_code.co_filename)
    if path.is_relative_to(ROOT):
        return path.relative_to(ROOT).as_posix()
    return None


def _holds(value, size):
    if isinstance(value, (tuple, list)):
        return any(_holds(each, size) for each in value)
    return (
        type(value).__name__.endswith("Tensor")
        and value.shape.num_elements() >= size
    )


def entries(function, size):
    """The entries of each file with tensors of a size, and all other files."""
    path, others = collections.Counter(), set()
    large = {}

    def receives(frame):
        if id(frame) not in large:
            code = frame.f_code
            count = code.co_argcount + code.co_kwonlyargcount
            count += bool(code.co_flags & inspect.CO_VARARGS)
            names = code.co_varnames[:count]
            values = [frame.f_locals.get(name) for name in names]
            large[id(frame)] = frame, _holds(values, size)
        return large[id(frame)][1]

    def profile(frame, event, _):
        if event != "call" or _package_file(frame) is None:
            return
        if not receives(frame):
            others.add(_package_file(frame))
            return
        stack = []
        while frame is not None:
            file = _package_file(frame)
            if file is not None and receives(frame) and stack[-1:] != [file]:
                stack.append(file)
            frame = frame.f_back
        for file, times in collections.Counter(stack).items():
            path[file] = max(path[file], times)

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return path, others - set(path)


def main():
    x = tf.random.normal((8, 4, 4, 16))
    layer = keras_norms.layers.BatchNormalization()
    for mode in ("always", "never"):
        with keras_norms.ops.using_native(mode):
            layer(x, training=True)

            def step():
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = layer(x, training=True)
                tape.gradient(y, x)

            path, others = entries(step, x.shape.num_elements())
        backend = "native" if mode == "always" else "composed"
        print(f"{backend}: x passes through {len(path)} files; entries:")
        for file, times in sorted(path.items()):
            print(f"    {times}  {file}")
        print(f"    {len(others)} files of small tensors and settings")


if __name__ == "__main__":
    main()
