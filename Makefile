# Every target sets up what it needs: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
READY := $(VENV)/.ready

.PHONY: demo test lint types docs bench effects clean

demo: $(READY)  ## a benchmark on real digits with a leaderboard and a report, in minutes
	WANDB_MODE=$${WANDB_MODE:-offline} $(BIN)/kdzoo bench quick --output runs/demo

test: $(READY)  ## the whole test suite, one worker of one thread for each core
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)  ## the documentation as a site: build/site/index.html
	$(BIN)/python docs/site/build.py

bench: $(READY)  ## the speed tables of docs/benchmarks: speed.md, photographs.md, store.md
	$(BIN)/python benchmarks/speed.py --write docs/benchmarks/speed.md
	$(BIN)/python benchmarks/photographs.py --write docs/benchmarks/photographs.md
	$(BIN)/python benchmarks/store.py --images 2560 --write docs/benchmarks/store.md

effects: $(READY)  ## what each method is good for, over seeds: docs/benchmarks/effects*.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/effects.py --seeds 3 --write docs/benchmarks/effects.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/effects.py --procedures --seeds 3 --write docs/benchmarks/effects-procedures.md

$(READY): pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --system-certs --python $(BIN)/python --editable . $(addprefix --editable ,$(PLUGINS)) --group dev
	touch $@

clean:
	rm -rf $(VENV) runs
