# Two commands matter on a fresh machine: `make demo` and `make test`. Each sets up what it needs in .venv.

VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# The playground's matrices are too small to share between threads, and batches are threads already.
export OPENBLAS_NUM_THREADS = 1

.PHONY: demo test servers lint bench notebooks clean

demo: $(VENV)/demo.stamp  ## the main job, live, without keys or network
	$(BIN)/frugal demo

test: $(VENV)/test.stamp  ## all tests
	$(BIN)/python -m pytest

servers: $(VENV)/test.stamp  ## Redis, plain and with its search module, for their stores' tests; PostgreSQL comes with the packages
	command -v redis-server >/dev/null || (apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends redis-server)
	$(BIN)/python tests/support/search_server.py $(VENV)/redis-search

lint: $(VENV)/test.stamp  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/test.stamp  ## the figures of BENCHMARKS.md that depend on the machine
	$(BIN)/python tests/benchmarks/overhead.py
	$(BIN)/python tests/benchmarks/overhead_llamaindex.py
	$(BIN)/python tests/benchmarks/import_time.py

notebooks: $(VENV)/test.stamp  ## execute every notebook
	$(BIN)/jupyter execute notebooks/*.ipynb

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	python3 -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[langchain,plots]'
	touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[test,lint,notebooks]'
	touch $@
