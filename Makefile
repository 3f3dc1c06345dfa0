# Each target sets up .venv if it is missing or outdated.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
READY := $(VENV)/.ready
EXTRAS := cpu,nvrtc,tutorials,test,converters,lint
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

# Tests of the two passes that select no backend, so that they can run with
# either one. Composed passes compute in float32 with both types of 16 bits, so
# that bfloat16 is enough there.
COMPOSED := tests/conformance/test_values.py tests/conformance/test_modes.py \
	tests/conformance/test_precision.py tests/keras_regressions \
	tests/ops/test_properties.py tests/engine/test_reductions.py \
	tests/layers/test_batch_normalization.py \
	tests/layers/test_enhanced_affine.py

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: quickstart test test-slow test-versions lint benchmark papers clean

quickstart: native
	$(BIN)/python -m tutorials.quickstart

test: native
	$(PYTEST) -m "not slow"

# The second stage: slow tests, the passes without the native library, and the
# kernels without TensorFlow. Layers also run with JAX and with PyTorch, in an
# environment without TensorFlow.
BACKENDS := .venv-backends

test-slow: native $(BACKENDS)/.ready
	KERAS_NORMS_BACKENDS_PYTHON=$(abspath $(BACKENDS))/bin/python \
		$(PYTEST) -m slow
	KERAS_NORMS_NATIVE=never $(PYTEST) -m "not slow" -k "not mixed_float16" \
		$(COMPOSED)
	$(MAKE) -C tf_ops -j $(JOBS) test sanitize

# The third stage: one fast file of tests, with the oldest versions that
# setup.cfg allows, and with the newest ones on newer versions of Python. Each
# runs in a separate environment. The interpreter is on PATH, or a shim of pyenv.
VERSIONS := floor 3.12 3.13
PYTHON_floor := python3.11
PYTHON_3.12 := python3.12
PYTHON_3.13 := python3.13
PACKAGES_floor := "keras==3.12.*" "tensorflow-cpu==2.20.*"
PYENV_ALL = PYENV_VERSION=$$(pyenv versions --bare 2>/dev/null | paste -sd:)

test-versions: $(VERSIONS:%=test-version-%)

test-version-%:
	@if $(PYENV_ALL) $(PYTHON_$*) --version >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory .venv-$*/.ready && \
		KERAS_NORMS_NATIVE=never .venv-$*/bin/python -m pytest -q \
			--noconftest -p no:cacheprovider tests/repository/test_versions.py; \
	else \
		echo "SKIPPED: $(PYTHON_$*) is not installed, so test-version-$* \
	does not run."; \
	fi

$(BACKENDS)/.ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(BACKENDS)
	$(BACKENDS)/bin/python -m pip install --disable-pip-version-check -q \
		-e ".[backends]"
	touch $@

.venv-%/.ready: setup.cfg pyproject.toml
	$(PYENV_ALL) $(PYTHON_$*) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --disable-pip-version-check -q \
		-e ".[cpu]" pytest $(PACKAGES_$*)
	touch $@

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

# The library is an optimization. Without a compiler, the build fails and the
# target continues.
.PHONY: native
native: $(READY)
	-$(BIN)/python -m keras_norms build

clean:
	rm -rf $(VENV) $(BACKENDS) $(VERSIONS:%=.venv-%) quickstart build dist *.egg-info
	$(MAKE) -C tf_ops clean
