"""The rows of results.csv: one per training, appended when it is finished.

Arrays over test images are compressed in base64, so that one line has all
results of a training.
"""

import base64
import csv
import zlib

import numpy as np

SWEEP, VERDICT = "sweep", "verdict"
KEYS = ("dataset", "configuration", "stage", "rate", "seed")
COLUMNS = [
    *(*KEYS, "steps"),
    *("validation_error", "validation_loss", "test_error", "test_loss"),
    *("weight_for_error", "weight_for_loss"),
    *("weighted_test_error", "weighted_test_loss"),
    *("validation_errors", "validation_losses"),
    *("seconds", "date", "machine", "cores", "python"),
    *("tensorflow", "keras", "keras_norms"),
    *("wrong", "losses", "weighted_wrong", "weighted_losses", "early_wrong"),
]
# Losses are stored in steps of 1/16 of an octave.
OCTAVE, UNIT = 16, 1 / 1024


def key(row):
    """What distinguishes a training from others."""
    return (*(row[name] for name in KEYS[:3]), *pair(row))


def pair(row):
    """The rate and the seed of a training."""
    return float(row["rate"]), int(row["seed"])


def packed(data):
    return base64.b64encode(zlib.compress(data, 9)).decode()


def unpacked(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def encode_wrong(wrong):
    """One bit per test image, after the number of images."""
    count = np.array([len(wrong)], np.uint32).view(np.uint8)
    return packed(np.concatenate([count, np.packbits(wrong)]).tobytes())


def decode_wrong(text):
    data = unpacked(text)
    count = int(data[:4].copy().view(np.uint32)[0])
    return np.unpackbits(data[4:], count=count).astype(bool)


def encode_losses(losses):
    """One byte per test image, with a relative error of 2% at most."""
    losses = np.nan_to_num(losses, nan=np.inf, posinf=np.inf)
    with np.errstate(over="ignore"):
        codes = np.rint(OCTAVE * np.log2(1 + losses / UNIT))
    return packed(np.minimum(codes, 255).astype(np.uint8).tobytes())


def decode_losses(text):
    return UNIT * (2.0 ** (unpacked(text) / OCTAVE) - 1)


def read(path):
    """All rows. A line that was not finished when a run ended is left out."""
    if not path.exists():
        return []
    text = path.read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()
    return list(csv.DictReader(lines))


class Appender:
    """Appends rows, after it has removed a line that was not finished."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        self._file.seek(0)
        complete = self._file.read().rfind(b"\n") + 1
        self._file.truncate(complete)
        self._file.close()
        self._file = path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        if not complete:
            self._writer.writeheader()

    def append(self, row):
        self._writer.writerow(row)
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()
