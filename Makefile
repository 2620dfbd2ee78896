# Everything a person or a machine does with this project. `make help` lists it.
#
# The environment is made once for each state of the lock files: requirements.lock (what the server needs),
# requirements-dev.lock (what its tests and checks need) and tests/e2e/sdk/package-lock.json (the JS SDK).
# Nothing outside of them is installed, and every download is checked against a hash.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SDK := tests/e2e/sdk
# The node of the wheel would trust the authorities that it was built with only, not those of this machine.
NPM := PATH="$(abspath $(BIN)):$$PATH" NODE_OPTIONS=--use-system-ca npm

# Tests and benchmarks start hundreds of servers: none of them shall compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
DIR ?= pb_data
HTTP ?= 127.0.0.1:8090
WORKERS ?= auto
PYTEST_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
DEMO_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install serve demo test check lint types imports docs bench soak conformance fmt lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

# -- environment ----------------------------------------------------------------------------------

install: $(VENV)/.server $(VENV)/.dev ## make .venv with the rowcast command, the checks and the JS SDK

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "rowcast needs Python 3.11 or newer as '$(PYTHON)'; name another one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "rowcast needs Python 3.11 or newer, and '$(PYTHON)' is" $$($(PYTHON) -V 2>&1)"; name another one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments (no ensurepip). On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.server: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(SDK)/package-lock.json | $(VENV)/.server
	$(PIP) install --require-hashes -r requirements-dev.lock
	cd $(SDK) && $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

lock: $(VENV)/.dev ## bring the lock files up to date with pyproject.toml and package.json
	$(BIN)/uv pip compile pyproject.toml --all-extras --group build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -q -o requirements-dev.lock
	cd $(SDK) && $(NPM) install --package-lock-only --ignore-scripts --no-audit --no-fund

# -- run ------------------------------------------------------------------------------------------

serve: $(VENV)/.server ## start a server (DIR=pb_data HTTP=127.0.0.1:8090)
	$(BIN)/rowcast serve --dir $(DIR) --http $(HTTP)

demo: $(VENV)/.server ## serve sample data from a new directory, with a page to look at (DEMO_ARGS="--write-for 60")
	$(BIN)/python -m examples.demo --http $(HTTP) $(DEMO_ARGS)

# -- prove ----------------------------------------------------------------------------------------

test: $(VENV)/.server $(VENV)/.dev ## run all tests (PYTEST_ARGS="-k filters")
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

check: lint types imports docs ## everything that is checked without running the server

lint: $(VENV)/.server $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.server $(VENV)/.dev ## mypy, strict, sources and tests
	$(BIN)/mypy

imports: $(VENV)/.server $(VENV)/.dev ## direction of imports
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.server $(VENV)/.dev ## build the pages into site/, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

conformance: $(VENV)/.server $(VENV)/.dev ## replay the recorded requests of the reference, if they are there
	$(BIN)/python -m tests.conformance.replay

soak: $(VENV)/.server $(VENV)/.dev ## cut, freeze, resume and kill for minutes; nothing may be lost (SOAK_ARGS="--seconds 60 --workers 3 --nodes 2")
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

bench: $(VENV)/.server $(VENV)/.dev ## measure, and write benchmarks/RESULTS.md (BENCH_ARGS="--only plain")
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

fmt: $(VENV)/.server $(VENV)/.dev ## format, and fix what ruff can fix
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

clean: ## remove what the targets made, except data
	rm -rf $(VENV) site build dist $(SDK)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
