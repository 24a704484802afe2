PYTHON ?= python3
VENV := .venv
# The requirements to install; test-lowest uses others.
RUN_PINS := requirements/build.txt
DEV_PINS := requirements/dev.txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-strip-extras \
        --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file

.DEFAULT_GOAL := help
.PHONY: help serve demo test lint lint-contract types unit wheel proof coverage test-pythons test-lowest test-clients \
        test-express test-languages test-browser screenshots bench bench-quick bench-smoke lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

serve: $(VENV)/run  ## run the stub (ARGS="--port 0 --scenario every-status")
	@$(BIN)/stepstub serve $(ARGS)

demo: $(VENV)/dev  ## run a whole process with a third-party application
	@$(BIN)/python examples/demo.py

test: lint types unit wheel  ## style, types, tests, the built wheel: run this before a commit

lint: $(VENV)/dev  ## style, import rules, validity of the OpenAPI documents
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	$(BIN)/openapi-spec-validator openapi.yaml src/stepstub/control.yaml

lint-contract: $(VENV)/dev  ## lint both OpenAPI documents, also with spectral and redocly (needs Node)
	$(BIN)/openapi-spec-validator openapi.yaml src/stepstub/control.yaml
	@$(BIN)/python clients/check.py contract

types: $(VENV)/dev  ## mypy --strict
	$(BIN)/mypy

unit: $(VENV)/dev  ## the tests, without the longer ones
	$(BIN)/python -m pytest -q -n 2 -m "not bench and not proof and not node and not browser"
	$(BIN)/python -m pytest -q contract_tests

wheel: $(VENV)/dev  ## build the wheel and test it in a fresh environment
	bash tests/check_wheel.sh $(BIN)/python

proof: $(VENV)/dev  ## the longer tests, with random profiles, contracts and histories
	$(BIN)/python -m pytest -q -n 2 -m "proof and not node and not browser"

coverage: $(VENV)/dev  ## all tests, with branch coverage
	$(BIN)/python -m pytest -q -n 2 -m "not bench and not node and not browser" --cov --cov-report=
	$(BIN)/python -m pytest -q contract_tests --cov --cov-append --cov-report=term

test-pythons: $(VENV)/python  ## the tests on every other installed Python from 3.11 on
	@tested=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	pythons=$$(bash tests/pythons.sh) || exit; \
	echo "Pythons found:" $$(echo "$$pythons" | cut -d ' ' -f 1) "($$tested is the one of make test)"; \
	echo "$$pythons" | while read -r version python; do \
	  [ "$$version" != "$$tested" ] || continue; \
	  echo "Python $$version:"; \
	  $(MAKE) --no-print-directory unit VENV=.venv-$$version PYTHON=$$python </dev/null || exit; \
	done

test-lowest:  ## the tests on the oldest installed Python with the lowest versions that pyproject.toml allows
	@pythons=$$(bash tests/pythons.sh) || exit; \
	echo "$$pythons" | { \
	  read -r version python; \
	  echo "Python $$version, lowest versions:"; \
	  $(MAKE) --no-print-directory unit VENV=.venv-lowest PYTHON=$$python \
	    RUN_PINS=requirements/lowest.txt DEV_PINS=requirements/lowest.txt </dev/null; \
	}

test-clients: $(VENV)/run  ## generate clients from both OpenAPI documents and call a stub with each (needs Node and a JDK)
	@$(BIN)/python clients/check.py clients

test-express: $(VENV)/dev  ## verify a server written with Express (needs Node)
	$(BIN)/python -m pytest -q -m node

test-languages: $(VENV)/run  ## test the helpers for TypeScript and Java (needs Node and a JDK)
	@$(BIN)/python clients/languages.py

test-browser: $(VENV)/dev  ## drive the console with a browser (needs Chromium and Node)
	$(BIN)/python -m pytest -q -m browser

screenshots: $(VENV)/dev  ## take the pictures of the console that the README shows (needs Chromium and pngquant)
	$(BIN)/python tests/console/screenshots.py

bench: $(VENV)/dev  ## compare with other servers, into benchmarks/results.md (needs Node and wrk)
	$(BIN)/python benchmarks/bench.py

bench-quick: $(VENV)/dev  ## the same in two minutes, into build/bench
	$(BIN)/python benchmarks/bench.py --quick

bench-smoke: $(VENV)/dev  ## check that the benchmark works, without figures (needs wrk)
	$(BIN)/python -m pytest -q -m bench

lock:  ## pin the requirements of pyproject.toml (needs uv; ARGS=--upgrade updates every pin)
	$(LOCK) requirements/build.txt --extra build $(ARGS)
	$(LOCK) requirements/dev.txt --extra dev $(ARGS)
	$(LOCK) requirements/lowest.txt --extra dev --resolution lowest-direct $(ARGS)

clean:  ## remove everything that the targets created
	rm -rf .venv .venv-* build dist reports .coverage* .mypy_cache .pytest_cache .ruff_cache

$(VENV)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stepstub needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The install is editable, so only changes to the requirements or pyproject.toml require a new one.
$(VENV)/run: $(VENV)/python $(RUN_PINS) pyproject.toml
	$(PIP) install --require-hashes -r $(RUN_PINS)
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/run $(DEV_PINS)
	$(PIP) install --require-hashes -r $(DEV_PINS)
	@touch $@
