# Two commands do everything on a new machine: `make demo` and `make test`. Needs Python 3.11 or newer, make, a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: demo test test-browser browser test-device test-unit test-real test-deploy test-slow test-plain test-external check bench bench-quick bench-growth docs messages help

help:
	@echo "make demo       install, fetch the model, train, test before and after, write the report"
	@echo "make test-unit  no training, no model, few processes: to be run all the time"
	@echo "make test       install and run the tests"
	@echo "make test-device  whole runs on a simulated device that is not the CPU; part of make test"
	@echo "make test-real  the real model on both cores, every block of the README"
	@echo "make test-browser  the studio's pages in a real browser; make browser installs one"
	@echo "make test-deploy  exports, proofs and serving, through the engines"
	@echo "make test-slow  the proofs that take minutes"
	@echo "make test-plain  the tests with every fast path switched off"
	@echo "make test-external  PEFT's own tests with the fast paths on, and an adapter where Tunewright is not: ten minutes"
	@echo "make bench      speed beside the peers: builds an environment for each (7 GB), about an hour"
	@echo "make bench-quick  LLaMA-Factory, TRL, the lesson's script and ours, once: ratios as JSON"
	@echo "make bench-growth  a step's cost against length, rank, batch and size of the model: ten minutes"
	@echo "make check      ruff, types, import contracts, generated files"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/tunewright quickstart

# A file to a core, on one thread. What kills processes comes by itself: what it waits for must not stand behind other work.
test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadfile tests/faults
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadfile tests/contract tests/fuzz tests/matrix tests/security tests/shapes tests/studio tests/unit
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 tests/device

# Methods x tasks where a tensor that is left on the CPU ends the run.
test-device: $(STAMP)
	$(BIN)/python -m pytest -n 2 tests/device

# The real model of 135M parameters on two threads, and every block of the README beside it: much of both waits for one core.
test-real: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/docs tests/invariants

# Pages of the studio in a real browser, which waits much of the time.
test-browser: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/browser

# The browser that its tests use; a font for Chinese, without which pictures show boxes.
BROWSER := chromium-headless-shell fonts-wqy-zenhei
browser:
	@if command -v chromium-headless-shell || command -v chromium || command -v google-chrome; then true; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then apt-get update -qq && apt-get install -qq -y --no-install-recommends $(BROWSER); \
	else echo "The tests of the studio need a browser. On Debian: sudo apt-get install --no-install-recommends $(BROWSER)"; exit 1; fi

# What is deployed, asked through the engines that serve it.
test-deploy: $(STAMP)
	$(BIN)/python -m pytest tests/deploy

# No training and no model: the tests to run all the time.
test-unit: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not processes" tests/contract tests/studio tests/unit

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

test-plain: $(STAMP)
	$(BIN)/python -m pytest --plain

test-external: $(STAMP)
	$(BIN)/python tests/external/run.py
	$(BIN)/python tests/external/bare.py

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/upstream.py --check
	$(BIN)/python tools/docs.py --check
	$(BIN)/python tools/shapes.py --check
	$(BIN)/python tools/messages.py --check

bench: $(STAMP)
	$(BIN)/python benchmarks/speed/run.py

bench-growth: $(STAMP)
	$(BIN)/python benchmarks/speed/growth.py

bench-quick: $(STAMP)
	$(BIN)/python benchmarks/speed/run.py --quick

docs: $(STAMP)
	$(BIN)/python tools/upstream.py
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/shapes.py

messages: $(STAMP)
	$(BIN)/python tools/messages.py
