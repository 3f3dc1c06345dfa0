"""Saves a model in both formats and loads each copy in a new process."""

import subprocess
import sys

import numpy as np

TOLERANCE = 1e-4

# The code of an application with the package, and of a server without it.
KERAS = """
import sys
import keras
import keras_norms
import numpy as np
model, images, outputs = sys.argv[1:]
np.save(outputs, keras.saving.load_model(model)(np.load(images)))
"""
SAVED_MODEL = """
import sys
import numpy as np
import tensorflow as tf
model, images, outputs = sys.argv[1:]
loaded = tf.saved_model.load(model)
np.save(outputs, loaded.serve(np.load(images)))
assert "keras_norms" not in sys.modules
"""


def check(model, images, folder):
    """Whether both saved copies have the predictions of the model."""
    expected = model(images, training=False)
    np.save(folder / "images.npy", images)
    model.save(folder / "model.keras")
    model.export(folder / "saved_model", verbose=False)
    keras_agrees = _agrees(KERAS, folder, "model.keras", expected)
    served_agrees = _agrees(SAVED_MODEL, folder, "saved_model", expected)
    return keras_agrees and served_agrees


def _agrees(program, folder, name, expected):
    outputs = folder / "outputs.npy"
    subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            *map(str, [folder / name, folder / "images.npy", outputs]),
        ],
        check=True,
    )
    difference = np.abs(np.load(outputs) - expected).max()
    agrees = bool(difference <= TOLERANCE)
    print(
        f"{name} in a fresh process: largest difference {difference:.1e}, "
        f"{'within' if agrees else 'BEYOND'} {TOLERANCE:g}"
    )
    return agrees
