# `make run` does the main job on the embedded data, `make test` passes the tests; both create .venv where it is missing.
# Needs Python >= 3.10 (as python3, or PYTHON=...) and a package index; pip's own variables (PIP_INDEX_URL, ...) hold.

PYTHON ?= python3
VENV   ?= .venv
RECIPE ?= recipes/digits-filters.yaml
# One version for development. On some platforms the default wheel brings CUDA: it works too, it is only larger.
TORCH  ?= torch==2.13.0

BIN   := $(VENV)/bin
READY := $(VENV)/ready
# Two test processes with one thread each: more threads only fight for the same cores, and timings stay comparable.
TESTS ?= -n 2 --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test lint clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

run: $(READY) ## compress the embedded example (RECIPE=... for another recipe)
	$(BIN)/condensa run $(RECIPE)

test: lint ## lint, check types and run every test
	OMP_NUM_THREADS=1 $(BIN)/pytest $(TESTS)

lint: $(READY) ## lint and check types
	$(BIN)/ruff check .
	$(BIN)/mypy cli condensa_core

clean: ## remove the environment and everything generated, except runs/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: an installation that broke half-way starts anew.
$(READY): setup.cfg pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "condensa needs Python 3.10 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[cpu,dev]'
	touch $(READY)
