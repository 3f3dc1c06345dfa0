"""Runs Keras's tests of its layers on our layers."""

import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

import keras
import pytest

FOLDER = pathlib.Path(keras.__file__).parent / "src/layers/normalization"
FILES = ("batch_normalization_test.py", "group_normalization_test.py")

SCRIPT = """
import sys
import keras.src.layers
import keras_norms
import pytest
for name in ("BatchNormalization", "GroupNormalization"):
    setattr(keras.src.layers, name, getattr(keras_norms.layers, name))
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The element of the report for each test, by name."""
    folder = tmp_path_factory.mktemp("keras")
    report = folder / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull]
    options += ["--rootdir", folder, "--junit-xml", report]
    files = [FOLDER / file for file in FILES]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *options, *files],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return {
        case.get("classname").split(".")[-1] + "." + case.get("name"): case
        for case in ET.parse(report).iter("testcase")
    }


def names(results, *tags):
    return {
        name
        for name, case in results.items()
        if any(child.tag in tags for child in case)
    }


def test_all_tests_of_keras_pass(results):
    """The two files of Keras 3.15.1 have 45 tests."""
    assert not names(results, "failure", "error")
    passed = len(results) - len(names(results, "skipped"))
    assert passed >= 30
    if keras.__version__ == "3.15.1":
        assert passed == 45
