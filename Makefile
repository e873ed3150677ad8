# Two commands: `make demo` opens the dashboard on real data; `make test` checks everything.
PYTHON ?= python3
PORT ?= 8501
HEADLESS ?=

# One more than cores: browser tests wait as much as they work.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min((os.cpu_count() or 1) + 1, 8))')

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint types scripts bench docs clean

help:
	@echo "make demo          set up, score the bundled digits, open the dashboard (PORT=8501 HEADLESS=1)"
	@echo "make test          lint, format, types, scripts, unit, property and browser tests"
	@echo "make bench         print the benchmarks' ratios"
	@echo "make docs          the API reference, from the docstrings, in build/api"

# A stamp a requirements file: pip runs again only when the list changes.
$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.test-installed: requirements-test.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/lsi compute digits --name digits
	$(BIN)/lsi compute digits --name digits-flipped --flip-labels 0.1 --seed 0
	PORT=$(PORT) $(if $(HEADLESS),HEADLESS=1) $(BIN)/lsi dashboard

test: $(VENV)/.test-installed lint types scripts
	sh tests/browser-setup.sh $(BIN)/python
	# In the order of the folders: a file with few tests is often a long one and must not come last.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test-installed
	$(BIN)/mypy

scripts: $(VENV)/.test-installed
	sh tests/js/run.sh $(BIN)/python

bench: $(VENV)/.test-installed
	$(BIN)/python -m benchmarks

docs: $(VENV)/.test-installed
	$(BIN)/python -m docs.api build/api

clean:
	rm -rf $(VENV) node_modules build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
