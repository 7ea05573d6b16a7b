# Everything runs in an environment made from requirements.lock: .venv, or .venv-3.13 and the like
# where PYTHON is named, so that Pythons do not overwrite one another's.
PYTHON ?= python3
ifeq ($(origin PYTHON),file)
VENV := .venv
else
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
WORKERS ?= 2
PROFILE ?= quick
OUT ?= build

BIN := $(VENV)/bin
# One BLAS thread for each process beats threads inside BLAS at these matrix sizes.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg
# Debian's package "chromium"; the browser tests bring no browser of their own.
export CHROMIUM ?= /usr/bin/chromium

.PHONY: help reproduce test test-portable test-oldest test-slow test-mutations test-browser lint format bench bench-gpu test-gpu lab book audit lock clean

help:
	@echo "make reproduce     every notebook at PROFILE=quick into build/, then the claims, also as OUT/claims.html"
	@echo "make test          lint, types, contracts, pytest, nbval"
	@echo "make test-portable the suite and the notebooks on every BLAS kernel that this processor can run"
	@echo "make test-oldest   the same with the oldest dependencies that are allowed"
	@echo "make test-slow     the tests that take minutes"
	@echo "make test-mutations that a test fails for each fault planted in the certificates"
	@echo "make test-browser  every notebook in JupyterLab, and the book, in Chromium"
	@echo "make bench         timings against autograd, JAX and PyTorch, into figures/benchmarks.md"
	@echo "make test-gpu      that a GPU finds what the CPU finds"
	@echo "make bench-gpu     the same on a GPU, with whole iterations and Fig. 3, into figures/benchmarks_gpu.md"
	@echo "make lab           the notebooks in JupyterLab"
	@echo "make book          the notebooks and the reference as pages to browse, build/book/html/index.html"
	@echo "make audit         known vulnerabilities of the locked packages; asks a database on the network"
	@echo "make format        the code and notebooks in the formatter's shape; make lint only looks"
	@echo "make clean         remove build/ and the caches"
	@echo "make lock          resolve requirements.lock anew from pyproject.toml"

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autocrit_lite needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

reproduce: $(VENV)/installed
	$(BIN)/autocrit-lite reproduce --profile $(PROFILE) --out $(OUT)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	$(BIN)/python tests/unused.py

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# nbval first, so that the run ends with pytest's own summary of the test suite.
test: lint
	env -u MPLBACKEND AUTOCRIT_LITE_FIGURES="$(CURDIR)/build/figures" PYTHONPATH="$(CURDIR)" \
	    $(BIN)/pytest --nbval-lax -p tests.nbval_watch -p no:randomly -p no:cacheprovider -q \
	    -n $(WORKERS) --dist loadfile notebooks
	$(BIN)/pytest --doctest-modules -p no:randomly -q autocrit_lite
	$(BIN)/pytest -m "not slow" -n $(WORKERS) tests

# SEEDS random orders of the tests on each; EACH="--kernels Haswell --threads 1" and the like narrow it.
SEEDS ?= 1
test-portable: $(VENV)/installed
	$(BIN)/python tests/portable.py --seeds $(SEEDS) --workers $(WORKERS) $(EACH)

# The oldest version of each direct dependency that pyproject.toml allows, on the oldest Python.
OLDEST ?= python3.11
build/oldest/installed: pyproject.toml
	$(OLDEST) -m venv build/oldest
	build/oldest/bin/python -m pip install --quiet uv
	build/oldest/bin/uv pip compile --quiet --resolution lowest-direct --no-header --no-annotate \
	    --no-emit-index-url --extra notebooks --extra dev --extra dask pyproject.toml -o build/oldest/requirements.txt
	build/oldest/bin/uv pip install --quiet --python build/oldest/bin/python -r build/oldest/requirements.txt
	build/oldest/bin/uv pip install --quiet --python build/oldest/bin/python --no-deps --no-build-isolation -e .
	touch $@

test-oldest: build/oldest/installed
	build/oldest/bin/python tests/portable.py --seeds $(SEEDS) --workers $(WORKERS) --kernels this --deprecations $(EACH)

test-slow: $(VENV)/installed
	$(BIN)/pytest -m slow tests

test-mutations: $(VENV)/installed
	$(BIN)/python tests/certify/mutations.py

lab: $(VENV)/installed
	env -u MPLBACKEND $(BIN)/jupyter lab notebooks

$(VENV)/book: $(VENV)/installed requirements-book.txt
	$(BIN)/python -m pip install --quiet -r requirements-book.txt
	touch $@

# Warnings are errors; the notebooks are shown as they are committed, not executed.
book: $(VENV)/book
	rm -rf build/book
	COLUMNS=88 $(BIN)/python docs/stage.py build/book/source
	$(BIN)/sphinx-build -W --keep-going -q -d build/book/doctrees build/book/source build/book/html
	$(BIN)/python docs/check.py build/book/html

$(VENV)/browser: $(VENV)/installed requirements-browser.txt
	$(BIN)/python -m pip install --quiet -r requirements-browser.txt
	touch $@

test-browser: $(VENV)/browser book
	env -u MPLBACKEND $(BIN)/pytest -p no:randomly -p no:cacheprovider -v \
	    tests/browser/notebooks.py tests/browser/book.py

$(VENV)/bench: $(VENV)/installed requirements-bench.txt
	$(BIN)/python -m pip install --quiet -r requirements-bench.txt
	touch $@

bench: $(VENV)/bench
	$(BIN)/python tests/benchmarks/write_table.py

# GPU=gpu-cuda13 for CUDA 13
GPU ?= gpu
$(VENV)/gpu: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -e ".[$(GPU)]"
	touch $@

test-gpu: $(VENV)/gpu
	$(BIN)/python tests/gpu.py

bench-gpu: $(VENV)/gpu
	$(BIN)/python tests/benchmarks/write_gpu_table.py

lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url --extra notebooks --extra dev --extra dask --upgrade pyproject.toml -o requirements.lock

# Fails also where the database cannot be reached or does not know a package.
audit:
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements.lock

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
