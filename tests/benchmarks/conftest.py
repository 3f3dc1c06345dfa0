"""Leaves the papers' tests out if their data or figures are unavailable."""

import importlib.util

REQUIRED = ("matplotlib", "mlxtend", "scipy", "skimage", "sklearn", "tqdm")
REQUIRED += ("tensorflow_datasets",)

missing = [name for name in REQUIRED if not importlib.util.find_spec(name)]
collect_ignore_glob = ["test_papers*.py"] if missing else []


def pytest_report_header():
    return f"papers' tests left out, without {missing}" if missing else None
