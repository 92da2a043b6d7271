# `make demo` and `make test` do all set-up. Everything goes into .venv; nothing else of this machine is changed,
# but for Debian packages that the lab needs, and those only as root.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
# More than there are processors: the lab waits for its servers most of the time. With six, tests of timing fail where other work runs beside them.
WORKERS ?= 6
SCENARIO ?= cluster
GENERATION ?=
SOURCE ?= file

# More words for the container builder, as --build-arg BASE=…@sha256:… or --secret id=pip.conf,src=/etc/pip.conf.
IMAGE ?= mailprobe
BUILDER ?= $(shell command -v docker || command -v podman || echo docker)
BUILD_ARGS ?=

.PHONY: help demo test check lock image lab ways bench bench-metrics bench-reader bench-explain bench-sessions bench-startup bench-history bench-daemon bench-others bench-dashboard soak bench-switches bench-drains bench-alerts dashboards dashboard-picture format clean

help:
	@echo 'make demo                     the product at work on this machine alone, no root'
	@echo 'make test                     all tests; as root also those on real servers in network namespaces'
	@echo 'make check                    ruff, mypy --strict, import-linter'
	@echo 'make lab SCENARIO=cluster     one fault on real servers by hand (SCENARIO=list lists them)'
	@echo 'make image                    the container image'
	@echo 'make lock                     the dependencies of a release anew, with hashes (UPGRADE=--upgrade: the newest)'
	@echo 'make dashboards               dashboards/mailprobe.json anew, for Grafana'
	@echo 'make bench                    benchmarks, side by side with what they are compared with'

demo: $(VENV)/.demo
	$(BIN)/probe demo

# A probe is started some hundred times: it is compiled once, also where the environment says that nothing shall be kept.
test: export PYTHONDONTWRITEBYTECODE :=
# A fifth of what promtool and other Go programs take goes into collecting garbage.
test: export GOGC := 400
test: $(VENV)/.check lab-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not calm' $(TESTS)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m calm $(TESTS) || [ $$? -eq 5 -a -n '$(TESTS)' ]

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# After a change of the settings: the chart's values.schema.json holds the schema of the configuration.
.PHONY: chart-schema
chart-schema: $(VENV)/.check
	$(BIN)/python -m deploy.helm.values_schema

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What a release is installed from, for every supported Python and platform. What still fits pyproject.toml stays as it is.
LOCK := build/lock
COMPILE = $(LOCK)/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-emit-options --allow-unsafe $(UPGRADE)
lock: $(LOCK)/.installed
	$(COMPILE) --extra kubernetes --output-file deploy/requirements.lock pyproject.toml
	$(COMPILE) --only-build-deps --build-deps-for wheel --output-file deploy/build.lock pyproject.toml

$(LOCK)/.installed: | $(VENV)/bin/python
	$(BIN)/python -m venv $(LOCK)
	$(LOCK)/bin/pip install --quiet --upgrade pip 'pip-tools>=7.5,<8'
	@touch $@

# Labelled with the commit where there is one. Podman's own format knows no health check, so it is Docker's.
image:
	$(BUILDER) build $(if $(findstring podman,$(BUILDER)),--format docker) --tag $(IMAGE) \
		--build-arg REVISION="$$(git describe --always --dirty 2>/dev/null || true)" \
		--build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' probe/__init__.py)" $(BUILD_ARGS) .

# Prints `probe --once` of the fault and leaves a shell hint until Ctrl-C; with HOLD= it ends at once.
HOLD ?= --hold
lab: $(VENV)/.check lab-packages
	$(BIN)/python -m tests.lab $(SCENARIO) $(if $(GENERATION),--generation $(GENERATION)) --source $(SOURCE) \
		$(if $(filter list reap generations,$(SCENARIO)),,$(HOLD))

dashboards: $(VENV)/.check
	$(BIN)/python -m dashboards

# Ten minutes: faults are played before real daemons and a real Prometheus, and its answers drawn.
dashboard-picture: $(VENV)/.check lab-packages
	$(BIN)/python bench/draw_dashboard.py docs/dashboard.svg

# BESIDE=/another/venv/bin/python measures mailprobe under that Python as well; it has to be installed there.
bench: bench-metrics bench-reader bench-explain bench-sessions bench-startup bench-history bench-daemon bench-switches bench-drains

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

# What other tools say of the lab's faults: for docs/comparison.md.
bench-others: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_others.py

bench-daemon: $(VENV)/.check
	$(BIN)/python bench/bench_daemon.py

bench-dashboard: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_dashboard.py

# Three quarters of an hour; writes docs/soak.md and its plot.
soak: $(VENV)/.check
	$(BIN)/python bench/soak.py 45 docs/soak.md

bench-switches: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_switches.py

bench-drains: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_drains.py

# Every alert from its fault to the webhook and back, with all times as users have them: two hours and a half. Not of `bench`.
bench-alerts: $(VENV)/.check lab-packages
	$(BIN)/python bench/bench_alerts.py network
	$(BIN)/python bench/bench_alerts.py listeners
	$(BIN)/python bench/bench_alerts.py beside

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

# The whole matrix through every source: some twenty minutes. `make test` takes its telling scenarios.
ways: $(VENV)/.check lab-packages
	WAYS=whole $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests/lab/test_ways.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
