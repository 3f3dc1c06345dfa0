"""The one exception of the native library, and what turns others into it."""

import contextlib

REBUILD = "Build it again with `python -m keras_norms build --force`."


class UnusableError(Exception):
    """Why the native library cannot be used, and what to do about it."""


@contextlib.contextmanager
def explained(problem, remedy):
    """Raises whatever fails in a block, or a function, as `UnusableError`.

    The library is an optimization: no failure to find, read, verify, load or
    build it may end a program that runs without it. What can fail is open:
    file systems, the manifest's contents, TensorFlow, the dynamic loader.

    Arguments:
        problem: what did not work, a sentence without its end.
        remedy: what to do about it, in full sentences.
    """
    try:
        yield
    except (UnusableError, MemoryError):
        raise
    except Exception as error:
        raise UnusableError(f"{problem}: {_cause(error)}. {remedy}") from error


def _cause(error):
    if isinstance(error, OSError) and error.strerror:
        path = "" if error.filename is None else f": {error.filename}"
        return f"{error.strerror}{path}"
    return f"{str(error).rstrip('.')} ({type(error).__name__})"
