# x07-registry: everything a developer types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; exit; }; done)
BIN := .venv/bin
RUN_STAMP := .venv/.installed-run
DEV_STAMP := .venv/.installed-dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --extra build
# setuptools warns of every editable installation; the warning asks for nothing.
LINK := PYTHONWARNINGS='ignore:Editable installation' $(INSTALL) --no-deps --no-build-isolation --editable .

# Containers often tell Python to keep no bytecode. Every process of a test run would then compile every module.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install run check check-all audit deploy-check format test edge-test varnish-test pooler-test image-test cluster-test browser-test pages fuzz soak chaos model bench golden openapi docs docs-tables lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "x07-registry needs Python 3.11 or newer on the PATH"; exit 1; }
	@echo "==> making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv

$(RUN_STAMP): requirements.lock pyproject.toml | $(BIN)/python
	@echo "==> installing what the registry needs (requirements.lock, hashes checked)"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(LINK)
	@touch $@

# The lock names everything, also what [tool.uv] in pyproject.toml leaves out on purpose.
$(DEV_STAMP): requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "==> installing what tests and checks need (requirements-dev.lock, hashes checked)"
	@$(INSTALL) --no-deps --require-hashes -r requirements-dev.lock
	@$(LINK)
	@touch $@ $(RUN_STAMP)

install: $(DEV_STAMP) ## Install everything into .venv

run: $(RUN_STAMP) ## Run a whole registry on 127.0.0.1:8080
	@exec $(BIN)/x07-registry up

check: $(DEV_STAMP) ## The quick checks: lint, types, import direction, tables in docs/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.docs_tables --check

check-all: check audit deploy-check ## The quick checks, the OpenAPI document, deployment tools, known vulnerabilities
	$(BIN)/python -m deploy.openapi --check

deploy-check: $(DEV_STAMP) ## Check the deployment files with their own tools; part of check-all
	$(BIN)/python -m tests.deployment_checks

audit: $(DEV_STAMP) ## Look for known vulnerabilities in the locked dependencies
	@$(BIN)/python -m tests.audit_dependencies

format: $(DEV_STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check-all ## Check, then run every test on real servers
	$(BIN)/python -m pytest -n 4 --dist worksteal

edge-test: $(DEV_STAMP) ## Install nginx if it is missing, and run the shipped edge in front of real tiers
	@PATH=$$PATH:/usr/sbin command -v nginx >/dev/null || { apt-get update -q && apt-get install -y -q nginx-light; }
	$(BIN)/python -m pytest tests/edge

varnish-test: $(DEV_STAMP) ## Install Varnish if it is missing, and purge it
	@PATH=$$PATH:/usr/sbin command -v varnishd >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends varnish gcc libc6-dev; }
	$(BIN)/python -m pytest tests/varnish

pooler-test: $(DEV_STAMP) ## Install PgBouncer if it is missing, and run registries behind it
	@PATH=$$PATH:/usr/sbin command -v pgbouncer >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends pgbouncer; }
	$(BIN)/python -m pytest tests/pooler

image-test: $(DEV_STAMP) ## Install the image's layout anew, without an engine, and start each role from it
	X07_IMAGE_INSTALL=full $(BIN)/python -m pytest tests/deploy/test_image_layout.py --timeout 600

cluster-test: $(DEV_STAMP) ## Run two of each role and nginx from the shipped files; kill one of each under load
	@PATH=$$PATH:/usr/sbin command -v nginx >/dev/null || { apt-get update -q && apt-get install -y -q nginx-light; }
	$(BIN)/python -m pytest -o addopts=--strict-markers --timeout 600 -s tests/cluster

golden: $(DEV_STAMP) ## Rewrite the golden files from the code; review the diff
	X07_GOLDEN=write $(BIN)/python -m pytest -q -p no:randomly tests/indexer

openapi: $(DEV_STAMP) ## Rewrite openapi/openapi.json from the routes
	$(BIN)/python -m deploy.openapi

docs: $(DEV_STAMP) ## Build the documentation as a site into site/, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-tables: $(DEV_STAMP) ## Rewrite the tables in docs/ that come from the code
	$(BIN)/python -m tests.docs_tables

fuzz: $(DEV_STAMP) ## Fuzz the checks of archives and the framing of requests for SECONDS (120) each, then the API with EXAMPLES (100) an operation
	$(BIN)/python -m tests.fuzz.archives --seconds $(or $(SECONDS),120)
	$(BIN)/python -m tests.fuzz.requests --seconds $(or $(SECONDS),120)
	X07_FUZZ_EXAMPLES=$(or $(EXAMPLES),100) X07_FUZZ_SEED=$$RANDOM \
		$(BIN)/python -m pytest -q tests/http/test_conformance.py

soak: $(DEV_STAMP) ## Kill, cut and fill everything for MINUTES (10) from SEED; writes docs/reliability.md
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

chaos: $(DEV_STAMP) ## Pause, kill, cut and delay everything for MINUTES (10) over STORAGE (s3 or fs); a judge watches
	$(BIN)/python -m tests.faults.chaos --minutes $(or $(MINUTES),10) --storage $(or $(STORAGE),s3) $(if $(SEED),--seed $(SEED))

model: $(DEV_STAMP) ## Explore every order of publications, faults and pauses in a small model; takes long
	X07_WHOLE_MODEL=1 $(BIN)/python -m pytest -q -n0 -s --timeout 0 tests/model

browser-test: $(DEV_STAMP) ## A person's way in a real browser; installs Debian's Chromium where it is missing
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
		echo "==> installing chromium and chromium-driver (Debian)"; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core; }
	$(BIN)/python -m pytest -q -n0 tests/webui/walk.py tests/webui/pages.py

pages: $(DEV_STAMP) ## Write screenshots of every page into gallery/, three widths, light and dark; KEEP=1 renews the kept ones
	$(BIN)/python -m tests.webui.gallery $(if $(KEEP),--keep)

bench: $(DEV_STAMP) ## Print the figures of tests/bench beside their peers
	$(BIN)/python -m tests.bench

lock: $(DEV_STAMP) ## Resolve the lock files again from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --extra local -o requirements.lock pyproject.toml
	$(COMPILE) --extra tracing -o requirements-image.lock pyproject.toml
	$(COMPILE) --extra local --extra tracing --extra dev -o requirements-dev.lock pyproject.toml

clean: ## Remove .venv and caches; data/ stays
	rm -rf .venv .tar_readers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
