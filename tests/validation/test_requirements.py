"""Without TensorFlow, the import names the command that installs it."""

import os
import subprocess
import sys

from tests.validation.messages import INSTALL


def test_import_without_tensorflow_names_the_command():
    script = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Blocker())
try:
    import keras_norms
except ModuleNotFoundError as error:
    print(error, end="")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.stdout == INSTALL, ran.stderr
