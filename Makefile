# Treasury Tracker. `make up` runs the service, `make test` its tests; `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install up test faults check bench build clean

VENV := .venv
BIN := $(VENV)/bin
# Two cores are the smallest machine that the suite is meant for.
TEST_WORKERS ?= 2
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed ## make .venv with the `tracker` command in it

up: install ## install and run the whole service (Ctrl-C stops it)
	@exec $(BIN)/tracker up

test: $(VENV)/installed-dev $(BIN)/anvil ## install and run the tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadscope -m "not faults" $(ARGS)

faults: $(VENV)/installed-dev $(BIN)/anvil ## the long runs: processes killed, servers cut, sources that lie
	$(BIN)/python -m pytest -n $(TEST_WORKERS) -m faults $(ARGS)

check: $(VENV)/installed-dev ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev $(BIN)/anvil ## speed, beside the obvious alternatives, on recorded data
	@for each in tests/bench/[a-z]*.py; do \
	    name=$$(basename $$each .py); echo "== $$name"; $(BIN)/python -m tests.bench.$$name; done

build: $(VENV)/installed-dev ## the wheel, in dist/
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

clean: ## remove what the other commands made (never the service's data)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: requirements.txt pyproject.toml
	@deploy/make-venv $(VENV) requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt pyproject.toml
	@deploy/make-venv $(VENV) requirements-dev.txt
	@touch $@ $(VENV)/installed

# Without it the suite runs all the same, so a failure to fetch it is only told.
$(BIN)/anvil: deploy/get-anvil | $(VENV)/installed-dev
	-@$(BIN)/python deploy/get-anvil
