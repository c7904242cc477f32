# Verbs for people and for continuous integration alike. They set themselves up: all they need is python3 (3.11 or
# newer) with venv, and make. Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
UV_VERSION := 0.13.8
VENV ?= .venv
BIN := $(VENV)/bin

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
export UV_PYTHON := $(PYTHON)
export PYTHONASYNCIODEBUG ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all coverage bench lint format schema readme clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.run ## a recorded call through the gateway, its transcript on screen (make demo ARGS=--live for AssemblyAI)
	@$(BIN)/turngate demo $(ARGS)

test: $(VENV)/.dev ## the tests of every day
	$(BIN)/python -m pytest -n auto -m "not long" $(ARGS)

test-all: $(VENV)/.dev ## all tests, the long ones too, on every Python from 3.11 up that is found here
	$(BIN)/python tools/test_all.py $(ARGS)

coverage: $(VENV)/.dev ## the protocols, covered whole by their own tests, branches too
	$(BIN)/python -m coverage run --branch --source=gateway/protocol -m pytest -q tests/protocol
	$(BIN)/python -m coverage report --fail-under=100

bench: $(VENV)/.bench ## what a call costs, against a relay in C (ARGS="--calls 200 --seconds 20 --rounds 3 --turns 4 --json")
	@$(BIN)/python -m tests.bench $(ARGS)

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/.run ## write the JSON Schema of the events from their types
	$(BIN)/python -m gateway.events > gateway/turngate.schema.json

readme: $(VENV)/.run ## write the README's generated parts anew
	$(BIN)/python tools/readme.py

clean: ## remove what the verbs have made
	rm -rf .venv .venv-* .uv .pytest_cache .ruff_cache .mypy_cache .hypothesis dist build

# The environment: uv makes it from uv.lock, exactly. uv itself is taken from the PATH, or put beside it.

UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)

.uv/bin/uv:
	@echo "Setting up (once; a minute on a fresh machine) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Turngate needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -m venv .uv || { rm -rf .uv; \
	  echo "Python's venv is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)" || { rm -rf .uv; \
	  echo "pip could not install uv: is there a way to the Python package index?"; exit 1; }

$(VENV)/.run: pyproject.toml uv.lock | $(UV)
	@$(UV) sync --quiet --locked --no-dev --inexact
	@touch $@

$(VENV)/.dev: pyproject.toml uv.lock | $(UV)
	@$(UV) sync --quiet --locked --inexact
	@touch $@ $(VENV)/.run

$(VENV)/.bench: pyproject.toml uv.lock | $(UV)
	@$(UV) sync --quiet --locked --inexact --group bench
	@touch $@ $(VENV)/.run $(VENV)/.dev
