# SPDX-License-Identifier: Apache-2.0
# Two commands do everything: `make up` runs a whole AMI, `make test` passes the tests.

ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell python3 tools/interpreter.py || echo python3)
endif
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UP_ARGS ?=
PURE ?=
# Many tests wait for processes that they started: three at once keep two cores busy.
JOBS ?= 3
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
# Tests start hundreds of processes: each finds our modules compiled, whatever the shell says of it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up firmware setup setup-dev setup-peers check format test test-compiled test-long compiled use-compiled use-source bench lock clean

help:
	@echo "make up         run a whole AMI on this machine (UP_ARGS='--speed 60 --meters 100')"
	@echo "make firmware   build the meter's programs, and say what of their flash they take"
	@echo "make setup      prepare .venv with the openami command"
	@echo "make test       all checks and tests that continuous integration runs"
	@echo "make test-long  the tests that need longer"
	@echo "make bench      our figures beside the peers', measured in one run (PURE=1: nothing compiled)"
	@echo "make compiled   compile the hot modules with mypyc; make use-compiled runs them, make use-source does not"

up: setup
	@exec $(BIN)/openami up $(UP_ARGS)

firmware: setup
	$(BIN)/openami image budget

setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev
setup-peers: $(PEERS)/.done

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "OpenAMI needs Python 3.11 or newer; this is %d.%d: set PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml tools/link_package.py | $(BIN)/python
	$(PIP) install --require-hashes --no-deps -r requirements/runtime.txt
	$(BIN)/python tools/link_package.py
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

$(PEERS)/.done: requirements/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r requirements/peers.txt
	@touch $@

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What the tests show of the PSA's security goals is written beside their results.
test: check firmware setup-peers
	$(BIN)/python -m compileall -q -j 2 src
	$(PYTEST) --junitxml .cache/results.xml
	$(BIN)/python tools/test_times.py .cache/results.xml
	$(BIN)/openami psa-evidence .cache/results.xml --html .cache/psa-l1-evidence.html \
		--json .cache/psa-l1-evidence.json

test-long: export OPENAMI_EXAMPLES ?= 400
test-long: setup-dev setup-peers test-compiled
	$(PYTEST) -m long --timeout 3600

compiled: setup-dev
	$(BIN)/python tools/compile_package.py

use-compiled: compiled
	$(BIN)/python tools/link_package.py .cache/compiled

use-source: setup
	$(BIN)/python tools/link_package.py

# The same tests over the compiled modules: what is fast must also be right.  Tests that break servers
# on purpose replace their methods, which a compiled class does not allow.
test-compiled: compiled
	$(PYTEST) --override-ini 'pythonpath=.cache/compiled tests' --ignore tests/cosem/conformance \
		tests/dlms tests/cosem tests/playbooks tests/transport

bench: setup-dev setup-peers $(if $(PURE),,compiled)
	PYTHONPATH=$(if $(PURE),src,.cache/compiled) $(BIN)/python -m bench

# Maintainers only: needs uv.
lock:
	for set in runtime dev peers; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements/$$set.in --output-file requirements/$$set.txt; done

clean:
	rm -rf $(VENV) $(PEERS) .cache
