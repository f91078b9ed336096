# A fresh machine needs Python 3.11 or newer, git and make; everything else goes into .venv.
# PYTHON=python3.12 make test  chooses the interpreter that .venv is made from.
SHELL := bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH_INSTALLED := $(VENV)/.installed-bench
DEMO := demo
DEMO_SETTINGS := --hidden 512 512 --epochs 40 --schedule cosine
DEMO_PARTICLES := 1000

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test lint types coverage bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with the library and its development tools

# Every time from the start: what an earlier demonstration left is removed.
demo: $(INSTALLED) ## train a VAE on MNIST, measure it and write demo/report.html
	rm -rf $(DEMO)
	$(BIN)/lowerbound train vae --data mnist --out $(DEMO)/run $(DEMO_SETTINGS)
	$(BIN)/lowerbound evaluate $(DEMO)/run --particles $(DEMO_PARTICLES)
	$(BIN)/lowerbound sample $(DEMO)/run --count 100 --out $(DEMO)/samples.png
	$(BIN)/lowerbound reconstruct $(DEMO)/run --count 50 --out $(DEMO)/reconstructions.png
	$(BIN)/lowerbound interpolate $(DEMO)/run --from 0 --to 1 --out $(DEMO)/interpolation.png
	$(BIN)/lowerbound report $(DEMO)/run --out $(DEMO)/report.html

test: lint types ## lint, types and every test, those on fetched data too
	@SECONDS=0; $(BIN)/python -m pytest && echo "the tests took $$SECONDS seconds"

lint: $(INSTALLED) ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED) ## mypy, strict
	$(BIN)/mypy

coverage: $(INSTALLED) ## the tests, refusing less than 95 % of core/
	$(BIN)/python -m pytest --cov=lowerbound.core --cov-report=term-missing --cov-fail-under=95

bench: $(BENCH_INSTALLED) ## every timing of bench/, against peers
	@set -e; for script in bench/[!_]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean: ## remove .venv, the demonstration and what tools leave behind
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .coverage
	find src tests bench \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +

# torch has to be resolved in the command that installs the rest, or a second, larger build of it would come.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"lowerbound needs Python 3.11 or newer and $(PYTHON) is {sys.version.split()[0]}; name another with PYTHON=python3.11 make ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

$(BENCH_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,bench]'
	touch $@
