PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A directory changes when a file comes or goes, which is when the install has to be renewed.
PACKAGES := src/stepstub src/stepstub/serving handlers fixtures contract_tests

.DEFAULT_GOAL := help
.PHONY: help serve demo test lint lint-contract types unit wheel test-clients bench bench-quick lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

serve: .venv/run  ## run the stub (ARGS="--port 0 --scenario every-status")
	@$(BIN)/stepstub serve $(ARGS)

demo: .venv/dev  ## a third-party application works through a whole process
	@$(BIN)/python examples/demo.py

test: lint types unit wheel  ## everything that has to hold before a change lands

lint: .venv/dev  ## style, the import rule, the contract as an OpenAPI document
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	$(BIN)/openapi-spec-validator openapi.yaml

lint-contract: .venv/dev  ## the contract, by openapi-spec-validator, spectral and redocly (needs Node)
	$(BIN)/openapi-spec-validator openapi.yaml
	@$(BIN)/python clients/check.py contract

types: .venv/dev  ## mypy --strict
	$(BIN)/mypy

unit: .venv/dev  ## the tests, with branch coverage
	$(BIN)/python -m pytest -q -n 2 --cov --cov-report=
	$(BIN)/python -m pytest -q contract_tests --cov --cov-append --cov-report=term

wheel: .venv/dev  ## the built wheel in an environment of its own
	bash tests/check_wheel.sh $(BIN)/python

test-clients: .venv/run  ## clients generated from the contract, each used (needs Node and a JDK)
	@$(BIN)/python clients/check.py clients

bench: .venv/dev  ## compare with other servers, into benchmarks/results.md (needs Node, wrk)
	$(BIN)/python benchmarks/bench.py

bench-quick: .venv/dev  ## the same in two minutes, into build/bench
	$(BIN)/python benchmarks/bench.py --quick

lock:  ## renew the pinned requirements (needs uv)
	for extra in build dev; do \
	  uv pip compile pyproject.toml --extra $$extra --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-strip-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	    --quiet --output-file requirements/$$extra.txt; \
	done

clean:  ## remove what the targets made
	rm -rf .venv build dist reports .coverage* .mypy_cache .pytest_cache .ruff_cache

.venv/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stepstub needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run: .venv/python requirements/build.txt pyproject.toml openapi.yaml $(PACKAGES)
	$(PIP) install --require-hashes -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=strict -e .
	@touch $@

.venv/dev: .venv/run requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
