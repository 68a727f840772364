# Two commands on a fresh machine with python3 (3.11 or newer) and make: `make demo` and `make test`.
# Everything goes into .venv, from versions in requirements.lock, with uv; nothing is installed outside of this folder.

PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
# more processes than cores would fight; each takes one thread (tests/conftest.py)
WORKERS ?= 2

.PHONY: setup demo test test-quick lint docs docs-serve lock clean

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedbench needs Python 3.11 or newer; say which with: make setup PYTHON=python3.12")'
	@command -v $(UV) >/dev/null || { $(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet uv; }
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --no-deps --python $(BIN)/python --editable .
	@touch $@

demo: setup
	$(BIN)/bench run zoo --jobs 2

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# everything but the tests that are marked as slow: while you write
test-quick: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy fedbench methods datasets

# the website, in site/; needs no network
docs: setup
	$(BIN)/mkdocs build --strict

docs-serve: setup
	$(BIN)/mkdocs serve

# the lock names versions and no registry, so that it works with anybody's
lock: setup
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --quiet -o requirements.lock

clean:
	rm -rf .venv .uv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
