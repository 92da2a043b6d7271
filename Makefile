# `make demo` and `make test` do all set-up. Everything goes into .venv; nothing else of this machine is changed,
# but for Debian packages that the lab needs, and those only as root.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
# More than there are processors: the lab waits for its servers most of the time.
WORKERS ?= 6
SCENARIO ?= cluster
GENERATION ?=
SOURCE ?= file

.PHONY: help demo test check lab bench bench-metrics bench-reader bench-explain bench-sessions bench-startup bench-history bench-daemon soak bench-switches bench-alerts format clean

help:
	@echo 'make demo                     the product at work on this machine alone, no root'
	@echo 'make test                     all tests; as root also those on real servers in network namespaces'
	@echo 'make check                    ruff, mypy --strict, import-linter'
	@echo 'make lab SCENARIO=cluster     one fault on real servers by hand (SCENARIO=list lists them)'
	@echo 'make bench                    benchmarks, side by side with what they are compared with'

demo: $(VENV)/.demo
	$(BIN)/probe demo

test: $(VENV)/.check lab-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not calm' $(TESTS)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m calm $(TESTS) || [ $$? -eq 5 -a -n '$(TESTS)' ]

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Prints `probe --once` of the fault and leaves a shell hint until Ctrl-C; with HOLD= it ends at once.
HOLD ?= --hold
lab: $(VENV)/.check lab-packages
	$(BIN)/python -m tests.lab $(SCENARIO) $(if $(GENERATION),--generation $(GENERATION)) --source $(SOURCE) \
		$(if $(filter list reap generations,$(SCENARIO)),,$(HOLD))

# BESIDE=/another/venv/bin/python measures mailprobe under that Python as well; it has to be installed there.
bench: bench-metrics bench-reader bench-explain bench-sessions bench-startup bench-history bench-daemon bench-switches

bench-metrics: $(VENV)/.check
	$(BIN)/python bench/bench_metrics.py

bench-reader: $(VENV)/.check
	$(BIN)/python bench/bench_reader.py

bench-explain: $(VENV)/.check
	$(BIN)/python bench/bench_explain.py

bench-sessions: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_sessions.py $(if $(BESIDE),--beside $(BESIDE))

bench-startup: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_startup.py $(if $(BESIDE),--beside $(BESIDE))

bench-history: $(VENV)/.check
	$(BIN)/python bench/bench_history.py

bench-daemon: $(VENV)/.check
	$(BIN)/python bench/bench_daemon.py

# Half an hour; writes docs/soak.md and its plot.
soak: $(VENV)/.check
	$(BIN)/python bench/soak.py 30 docs/soak.md

bench-switches: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_switches.py

# Every alert from its fault to the webhook and back, with all times as users have them: an hour and a half. Not of `bench`.
bench-alerts: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_alerts.py network
	$(BIN)/python bench/bench_alerts.py listeners

# 3 is install.sh's way to say that there can be no lab here and why; the tests then leave the lab out and say so.
.PHONY: lab-packages
lab-packages:
	@sh tests/lab/install.sh || [ $$? -eq 3 ]

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.check: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[check]'
	@touch $@ $(VENV)/.demo

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo 'mailprobe needs Python 3.11 or newer: apt install python3' >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update --quiet && apt-get install --quiet --yes python3-venv; \
		else echo 'the module venv is missing: apt install python3-venv' >&2; exit 1; fi; fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
