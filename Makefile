# Driftline. `make` alone lists the targets.
SHELL := /bin/bash
# Without its cache, pytest rewrites every assertion at every start: 8 s CPU in each process.
unexport PYTHONDONTWRITEBYTECODE
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first interpreter here that fits; name another one with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
RESULTS := bench/results
# `make demo DEMO=--no-serve` ends without the console, as in CI.
DEMO ?=
# The versions that are tested together.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
# By exact version and before all else, so that pip takes the small CPU build where one is at hand.
TORCH := $(shell grep '^torch==' constraints.txt)

ifneq ($(wildcard ../shared/data),)
export DRIFTLINE_DATA_DIR ?= $(abspath ../shared/data)
endif

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

.PHONY: install
install: $(VENV)/.dev ## Make the environment in .venv, with everything for development

.PHONY: demo
demo: $(VENV)/.run ## Show the engine on a log stream, then three regions, a round and the swap; then open the console
	@$(BIN)/python -m tests.support.console_build --if-possible
	@$(BIN)/driftline demo --no-serve
	@$(BIN)/driftline demo --federated $(DEMO)

.PHONY: test
test: install servers ## Lint, types, import rules, and all tests with the broker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) site
	@$(BIN)/python -m tests.support.console_build --if-possible
	$(BIN)/python -m engine.parsing.compile_loops
	$(BIN)/python -m engine.findings.compile_loops
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not process" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m process -n 2 --dist loadfile

.PHONY: fuzz
fuzz: install ## Run the unit tests with more and new random examples; a failure prints how to repeat it
	DRIFTLINE_HYPOTHESIS=random OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not process" -n 2 --dist loadfile

.PHONY: check
check: test ## The same as `make test`: there is one check, here and in CI

.PHONY: servers
servers: install ## Install what tests start (PostgreSQL, nginx, Prometheus, Kafka, Chromium), or say what is missing
	@tests/servers.sh
	@$(BIN)/python -m tests.support.kafka_jars

.PHONY: site
site: install ## Build the documentation strictly, into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

.PHONY: bench
bench: install ## Run every benchmark scenario and write bench/results/SCENARIO.json
	@for scenario in $$($(BIN)/python -c 'from bench.harness import SCENARIOS; print(*SCENARIOS)'); do \
		echo "== $$scenario"; \
		$(BIN)/python -m bench run $$scenario --out $(RESULTS)/$$scenario.json; \
	done

.PHONY: console
console: $(VENV)/.run ## Build the web console into engine/console, with the Node of this machine or of a PyPI wheel
	@$(BIN)/python -m tests.support.console_build

.PHONY: lock
lock: install ## Write the versions in .venv (of the oldest Python 3.11) to constraints.txt, without the graphics card's
	$(BIN)/python -m pip freeze --exclude-editable | grep -viE '^(cuda|nvidia|triton)' > constraints.txt

.PHONY: clean
clean: ## Remove the environment, caches and build output; models, alerts and results stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null || { echo "Python 3.11 or 3.12 is needed, not '$(PYTHON)'; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing $(TORCH)"
	@$(PIP) $(TORCH)
	@echo "installing driftline with what the demo needs"
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing what development needs"
	@$(PIP) -e '.[dev]'
	@touch $@
