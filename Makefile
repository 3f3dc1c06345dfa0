# Each target does all its own set-up, in .venv; the second time is quick.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := cpu,tutorials,test,lint

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: quickstart test test-slow lint benchmark papers clean

quickstart: $(READY)
	$(BIN)/python -m tutorials.quickstart

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -q

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow -q

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(READY)
	$(BIN)/python -m benchmarks.layers
	$(BIN)/python -m benchmarks.methods

papers: $(READY)
	$(BIN)/python -m benchmarks.papers

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) quickstart build dist *.egg-info
