# The five targets everybody needs. `make run` and `make test` set everything up by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test bench lint wheel debug build clean

run: $(VENV)/.built
	$(BIN)/fastproxy demo

test: $(VENV)/.test
	$(BIN)/python -m pytest

build: $(VENV)/.deps
	$(BIN)/python setup.py -q build_ext --inplace

$(VENV)/.deps: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q 'setuptools>=77' 'cython>=3.2,<3.4' 'llhttp>=9.3,<10'
	touch $@
