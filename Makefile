# Everything runs in .venv, which is made from requirements.lock.
PYTHON ?= python3
WORKERS ?= 2
PROFILE ?= quick
OUT ?= build

BIN := .venv/bin
# One BLAS thread for each process beats threads inside BLAS at these matrix sizes.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.PHONY: help reproduce test test-slow lint format bench lab lock clean

help:
	@echo "make reproduce   every notebook at PROFILE=quick into build/, then the claims table"
	@echo "make test        lint, types, pytest, nbval"
	@echo "make test-slow   the tests that take minutes"
	@echo "make bench       timings against autograd, JAX and PyTorch, into figures/benchmarks.md"
	@echo "make lab         the notebooks in JupyterLab"
	@echo "make lock        resolve requirements.lock anew from pyproject.toml"

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autocrit_lite needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

reproduce: .venv/installed
	$(BIN)/autocrit-lite reproduce --profile $(PROFILE) --out $(OUT)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# nbval first, so that the run ends with pytest's own summary of the test suite.
test: lint
	env -u MPLBACKEND AUTOCRIT_LITE_FIGURES="$(CURDIR)/build/figures" \
	    $(BIN)/pytest --nbval-lax -p no:randomly -p no:cacheprovider -q notebooks
	$(BIN)/pytest --doctest-modules -p no:randomly -q autocrit_lite
	$(BIN)/pytest -m "not slow" -n $(WORKERS) tests

test-slow: .venv/installed
	$(BIN)/pytest -m slow tests

lab: .venv/installed
	$(BIN)/jupyter lab notebooks

.venv/bench: .venv/installed requirements-bench.txt
	$(BIN)/python -m pip install --quiet -r requirements-bench.txt
	touch $@

bench: .venv/bench
	$(BIN)/python tests/benchmarks/write_table.py

lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url --extra dev --extra dask --upgrade pyproject.toml -o requirements.lock

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
