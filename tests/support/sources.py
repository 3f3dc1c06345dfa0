"""Lists the source files of the repository."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = ("keras_norms", "tests", "benchmarks", "tutorials", "tf_ops")


def source_files(*endings):
    """The paths of the files with these endings, without built files."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            built = "build" in path.relative_to(ROOT).parts
            if path.suffix in endings and not built:
                yield path
