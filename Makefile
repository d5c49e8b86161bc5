# Every command of the project. Recipes name files relative to this directory and run modules with
# `python -m`, so a checkout works in a path with spaces, too.
PORT ?= 8000

# The first Python of a version that e2l supports; `make PYTHON=/path/to/python3.12 up` overrides it.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& echo $$python && break; done)
endif

.PHONY: help python setup modules up worker test lint format docs bench bench-long clean
.DEFAULT_GOAL := help

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "e2l needs Python 3.11, 3.12 or 3.13, and none was found: install one or name it as in 'make PYTHON=/path/to/python3.12 up'." >&2; \
		exit 1; \
	fi

setup: python ## virtual environment, locked requirements, NEST modules, database, static files
	@"$(PYTHON)" -m e2l_site.bootstrap setup

modules: python ## build the NEST modules for PyNEST scripts outside this application, and say how to load them
	@"$(PYTHON)" -m e2l_site.bootstrap modules
	@exec .venv/bin/python -m nest_build paths

up: python ## set up what is missing, then serve http://127.0.0.1:PORT (default 8000) with workers until Ctrl-C
	@"$(PYTHON)" -m e2l_site.bootstrap up --port "$(PORT)"
	@exec .venv/bin/python -m e2l_site.launcher --port "$(PORT)"

worker: python ## workers only, for the server that REDIS_URL and DATABASE_URL name (E2L_WORKERS: how many)
	@"$(PYTHON)" -m e2l_site.bootstrap worker
	@exec .venv/bin/python -m e2l_site.launcher --worker-only

test: python ## everything a fresh machine needs to test, then lint and all tests (args="..." goes to pytest)
	@"$(PYTHON)" -m e2l_site.bootstrap test
	@exec .venv/bin/python -m tests.system_packages
	@exec .venv/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(args)

lint: python ## formatting, import order, layers, templates, C++ and missing migrations
	@"$(PYTHON)" -m e2l_site.bootstrap test
	@exec .venv/bin/python -m tests.lint

format: python ## let the formatters rewrite the sources
	@"$(PYTHON)" -m e2l_site.bootstrap test
	@exec .venv/bin/python -m tests.lint --fix

docs: python ## the documentation, built into docs/_build/html
	@"$(PYTHON)" -m e2l_site.bootstrap test
	@.venv/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: python ## benchmarks, written to docs/benchmarks.md
	@"$(PYTHON)" -m e2l_site.bootstrap test
	@exec .venv/bin/python -m tests.bench

bench-long: python ## the benchmarks that take hours: whole experiments of the size of the paper's
	@"$(PYTHON)" -m e2l_site.bootstrap test
	@exec .venv/bin/python -m tests.bench --long

clean: ## remove what was built and installed; experiments in var/ stay
	@rm -rf .venv nest_build/_build docs/_build staticfiles .pytest_cache .ruff_cache .hypothesis .import_linter_cache test-artifacts
	@find . -path ./var -prune -o -name __pycache__ -type d -exec rm -rf {} +
