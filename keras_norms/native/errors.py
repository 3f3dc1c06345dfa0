"""The exception of the native library, and what converts others into it."""

import contextlib

REBUILD = "Build it again with `python -m keras_norms build --force`."


class UnusableError(Exception):
    """The native library cannot be used; the message names the remedy."""


@contextlib.contextmanager
def raising_unusable(problem, remedy):
    """Converts every failure in a block or a function to `UnusableError`.

    The library is an optimization, so no failure to find, read, verify, load
    or build it may end a program that runs without it. The possible failures
    are too many to list: file systems, the contents of the manifest,
    TensorFlow and the dynamic loader all have their own.

    Args:
        problem: what failed, as a clause without a full stop.
        remedy: what the user can do about it, in full sentences.
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
