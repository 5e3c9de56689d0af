# make reproduce   everything the embedded profile shows, from nothing      make install   only what that needs, into .venv
# make test        the tests                                                make check     lint and types
# make readme      README's table, from results/embedded
.PHONY: reproduce install test check format readme clean
.DEFAULT_GOAL := reproduce

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
# the stages call `reproduce` by name
export PATH := $(CURDIR)/$(BIN):$(PATH)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; name one with: make PYTHON=python3.12' >&2; exit 2; }
	@echo 'installing the locked packages into .venv: some minutes'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[test]'
	@touch $(STAMP)

# DVC looks for Git; a source archive has none
.dvc/config.local: $(STAMP)
	@git rev-parse --git-dir > /dev/null 2>&1 || $(BIN)/python -m dvc config --local core.no_scm true
	@touch .dvc/config.local

reproduce: $(STAMP) .dvc/config.local
	$(BIN)/python -m dvc repro

install: $(STAMP) .dvc/config.local

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

readme: $(STAMP)
	$(BIN)/python tools/readme.py

clean:
	rm -rf .venv .work artifacts .pytest_cache .ruff_cache .mypy_cache .hypothesis
