"""The tutorial: its data, its verdicts, and its results on other data."""

import numpy as np
import pytest

from tests.support.processes import run

# The tutorial needs a new process, because it configures virtual CPUs, which
# must come before any other call of TensorFlow.
MOCKED = """
import sys
import tensorflow_datasets as tfds
from tutorials import quickstart
with tfds.testing.mock_data(num_examples=40):
    sys.exit(quickstart.main(sys.argv[1:]))
"""


def assert_results(output, stdout):
    assert (output / "errors.png").read_bytes().startswith(b"\x89PNG")
    table = (output / "table.md").read_text()
    assert table in stdout
    assert "| cross-replica batch norm |" in table
    assert stdout.count("in a fresh process: largest difference") == 2
    assert "BEYOND" not in stdout


def test_digits_load_by_name(tmp_path):
    datasets = pytest.importorskip("sklearn.datasets")
    tfds = pytest.importorskip("tensorflow_datasets")
    from tutorials import digits  # noqa: F401  registers the name

    splits = tfds.load(
        "digits", split=["train", "test"], batch_size=-1, data_dir=tmp_path
    )
    assert [len(split["label"]) for split in splits] == [797, 1000]

    def rows(images, labels):
        pixels = np.reshape(images, [len(labels), 64])
        return sorted(np.column_stack([pixels, labels]).astype(int).tolist())

    loaded = [
        np.concatenate([split[key] for split in splits])
        for key in ["image", "label"]
    ]
    original = datasets.load_digits()
    assert rows(*loaded) == rows(original.images, original.target)


@pytest.mark.parametrize(
    ("local", "cross", "group", "batch_group", "verdict"),
    [
        ([9.0, 3.0], [3.0, 3.0], [4.0, 4.0], [2.0, 2.0], "agrees"),
        ([2.0, 3.0], [4.0, 3.0], [4.0, 2.0], [5.0, 2.0], "does NOT agree"),
    ],
)
def test_conclusion_follows_from_the_errors(
    local, cross, group, batch_group, verdict
):
    figure = pytest.importorskip("tutorials.figure")
    names = [figure.LOCAL, figure.CROSS, figure.GROUP, figure.BATCH_GROUP]
    means = [local, cross, group, batch_group]
    noise = np.array([-0.1, 0.0, 0.1])
    errors = {
        name: {2: few + noise, 32: many + noise}
        for name, (few, many) in zip(names, means, strict=True)
    }
    claims = figure.conclusion(errors).splitlines()[1::2]
    assert len(claims) == 5
    assert all(claim.endswith(f": {verdict}.") for claim in claims)


def test_noise_allows_no_conclusion():
    figure = pytest.importorskip("tutorials.figure")
    noise = np.array([-3.0, 0.0, 3.0])
    names = [figure.LOCAL, figure.CROSS, figure.GROUP, figure.BATCH_GROUP]
    errors = {name: {2: 9 + noise, 32: 9 - noise} for name in names}
    claims = figure.conclusion(errors).splitlines()[1::2]
    assert all(claim.endswith(": cannot tell.") for claim in claims)


@pytest.mark.slow
def test_tiny_run_writes_figure_table_and_models(tmp_path):
    stdout = run(
        *["-m", "tutorials.quickstart", "--output", str(tmp_path)],
        *["--seeds", "1", "--batch-sizes", "32", "--epochs", "1"],
        *["--examples", "128"],
    )
    assert_results(tmp_path, stdout)


@pytest.mark.slow
def test_cifar10_uses_the_same_code(tmp_path):
    stdout = run(
        *["-c", MOCKED, "--dataset", "cifar10", "--output", str(tmp_path)],
        *["--seeds", "1", "--batch-sizes", "4", "--epochs", "1"],
    )
    assert_results(tmp_path, stdout)
