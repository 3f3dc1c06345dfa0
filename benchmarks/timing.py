"""What a figure depends on, and csv."""

import csv
import ctypes
import datetime
import os
import platform


def keep_memory():
    """Keeps the C library from giving freed memory back to the system.

    By its history in the process one candidate would pay for new pages, more
    than for its work, and another would not.
    """
    options = {"M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_MMAP_MAX": (-4, 0)}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for option in options.values() if mallopt else ():
        mallopt(*option)


def environment():
    """What a figure depends on, for each row of a csv."""
    import keras
    import tensorflow as tf

    import keras_norms

    return {
        "date": datetime.date.today().isoformat(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras_norms": keras_norms.__version__,
    }


def write(path, rows):
    """Rows of equal keys, as csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
