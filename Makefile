# `make run` renders test_input.json, `make serve` opens the gateway, `make test` runs every test. Each installs what it
# needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNPOD_JS := tests/support/runpod_js

.PHONY: run serve test lint crash load startup speed install install-test

run: $(VENV)/.installed
	$(BIN)/python -u -m handler

serve: $(VENV)/.installed
	$(BIN)/python -m gateway

# One thread each: two torch processes that both want all cores slow one another down many times.
test: export OMP_NUM_THREADS = 1
test: install-test
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install-test
	$(BIN)/ruff check .

# Hundreds of kill -9s and power cuts (as root) against the queue's store, and planted bugs that must be seen.
crash: install-test
	$(BIN)/python -m tests.gateway.crash

# What the gateway bears: submits and polls a second, a queue of 100,000, memory over 100,000 jobs. Takes minutes.
load: $(VENV)/.installed
	$(BIN)/python -m benchmarks.load

# How long the worker takes until its first job, phase by phase, beside plain diffusers on the same checkpoint.
startup: $(VENV)/.installed
	$(BIN)/python -m benchmarks.startup

# What the engine's recipe costs beside the bare network; whole pictures; on a GPU, where there is one.
speed: $(VENV)/.installed
	$(BIN)/python -m benchmarks.speed

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

install-test: $(VENV)/.installed-test .venv-s3/.installed .venv-fal/.installed $(RUNPOD_JS)/node_modules/.installed

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@

.venv-s3/.installed: tests/support/install_s3.sh tests/support/s3-requirements.txt
	sh tests/support/install_s3.sh .venv-s3 $(PYTHON)
	touch $@

.venv-fal/.installed: $(wildcard tests/support/fal/install_fal.sh tests/support/fal/*.json tests/support/fal/*.txt)
	sh tests/support/fal/install_fal.sh .venv-fal $(PYTHON)
	touch $@

# npm itself comes with the clients of fal.
$(RUNPOD_JS)/node_modules/.installed: .venv-fal/.installed $(RUNPOD_JS)/package.json $(RUNPOD_JS)/package-lock.json
	cd $(RUNPOD_JS) && npm ci --loglevel=error --no-audit --no-fund
	touch $@
