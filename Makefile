# Everything runs in .venv, which the first target that needs it makes. `make` alone lists targets.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)

# Small models run fastest on one thread; processes do the work in parallel.
export OMP_NUM_THREADS = 1

# Without bytecode each process of the tests would compile all that it reads, assertions anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint types layers check bench reproduce docs fmt clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1: \2/p' Makefile

demo: $(STAMP) ## forget, then remember: the whole idea in under a minute
	$(BIN)/perdure demo

test: $(STAMP) ## run the tests; slow and GPU tests are left out
	$(BIN)/pytest -n 2 --dist worksteal

lint: $(STAMP) ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP) ## check the types of src
	$(BIN)/mypy

layers: $(STAMP) ## check that imports go downward only
	$(BIN)/lint-imports --no-logo

check: lint types layers ## everything that reads the code without running it

bench: $(STAMP) ## measure speed on this machine
	for what in speed memory drift ingest serving; do $(BIN)/python benchmarks/$$what.py || exit; done

reproduce: $(STAMP) ## run the published comparisons again and write benchmarks/results
	$(BIN)/python benchmarks/reproduce.py

docs: $(STAMP) ## write the methods' cards from docstrings and measurements
	$(BIN)/python docs/cards.py

fmt: $(STAMP) ## format, and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "perdure needs Python 3.11 or newer;" \
		"on Debian and Ubuntu: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks venv or ensurepip;" \
		"on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@echo "installing perdure and its tools into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
