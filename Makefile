# Each target does all its own set-up, in .venv; the second time is quick.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
READY := $(VENV)/.ready
EXTRAS := cpu,nvrtc,tutorials,test,converters,lint
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

# The tests of the two passes that do not choose which way they run.
COMPOSED := tests/test_layers.py tests/test_ops_properties.py \
	tests/test_faults.py

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: quickstart test test-slow lint benchmark papers clean

quickstart: native
	$(BIN)/python -m tutorials.quickstart

test: native
	$(PYTEST) -m "not slow"

# The second stage: what takes long, the passes without the native library,
# and its kernels alone.
test-slow: native
	$(PYTEST) -m slow
	KERAS_NORMS_NATIVE=never $(PYTEST) -m "not slow" $(COMPOSED)
	$(MAKE) -C tf_ops -j $(JOBS) test sanitize

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: native
	$(BIN)/python -m benchmarks.layers --shapes 2 --dtypes float32
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.methods

papers: native
	$(BIN)/python -m benchmarks.papers

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e ".[$(EXTRAS)]"
	touch $@

# An optimisation, never a requirement: without a compiler all goes on.
.PHONY: native
native: $(READY)
	-$(BIN)/python -m keras_norms build

clean:
	rm -rf $(VENV) quickstart build dist *.egg-info
	$(MAKE) -C tf_ops clean
