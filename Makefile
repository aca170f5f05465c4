# A fresh machine needs Python 3.11 or newer, pip and make: `make run` and `make test` set up what is missing.
PYTHON ?= python3
VENV := .venv
FAULTS ?= outputs/faults
BIN := $(VENV)/bin
# Files of tests side by side, one on each core, each of one thread; in their order, where the longest are not last.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test test-all faults lint types check wheel docs pictures clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## make .venv and install acenas with what a run needs
setup-dev: $(VENV)/.installed-dev ## the same with what tests, lint and types need

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "acenas needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/python .ci/install.py --editable .
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(BIN)/pip # with an extra of pyproject.toml
	$(BIN)/python .ci/install.py --editable '.[$*]'
	@touch $@ $(VENV)/.installed

run: setup ## run the main job: rank NAS-Bench-201 cells and find the best
	$(BIN)/python -m acenas experiment=nb201_ltr

test: setup-dev ## pass the tests (the slow ones apart)
	$(PYTEST)

test-all: setup-dev ## pass all tests, the slow ones too
	$(PYTEST) -m 'slow or not slow'

faults: setup-dev ## kill runs 1,000 times and read 100,000 hostile inputs (hours; FAULTS=folder to go on in)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.hostile --inputs 100000
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.kills $(FAULTS) --kills 1000

lint: setup-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev ## mypy, strict
	$(BIN)/mypy

check: lint types test ## what CI runs

wheel: setup-dev ## build dist/acenas-*.whl
	$(BIN)/python -m build --wheel

docs: setup $(VENV)/.installed-docs ## build the site into site/
	$(BIN)/mkdocs build --strict

pictures: setup $(VENV)/.installed-browser ## make the pictures of README and docs (minutes of a core)
	OMP_NUM_THREADS=1 $(BIN)/python docs/pictures.py

clean: ## remove .venv and caches; runs in outputs/ stay
	rm -rf $(VENV) dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
