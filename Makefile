# Every command sets up what it needs: a virtual environment in .venv, from PyPI.
PYTHON ?= python3
VENV := .venv
# Of tests at once: much of their time is spent waiting for processes to start.
TESTERS ?= 4
OF_TEST := "not system and not prove"
BIN := $(VENV)/bin
# What one process of the tests has compiled the others read.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo run cluster collect test test-system prove mutants mutants-record lint types contracts check constraints openapi docs release functions clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: $(VENV)/.all  ## install what check, test and test-system need, all at once

demo: $(VENV)/.run  ## stage a build from end to end on this machine, then clean up
	$(BIN)/staging-api demo

run: $(VENV)/.run  ## the same, and leave the service running until Ctrl-C
	$(BIN)/staging-api demo --keep

cluster: $(VENV)/.test  ## three pods, two workers, a PostgreSQL pair, pgbouncer, haproxy and S3, until Ctrl-C
	$(BIN)/python -m tests.cluster

collect: $(VENV)/.test  ## compile what make test imports; else each of its processes does, at the same time
	$(BIN)/python -m pytest --collect-only -qq -m $(OF_TEST) >$(VENV)/collected \
	  || { cat $(VENV)/collected; exit 1; }

test: $(VENV)/.test  ## the tests that need only PyPI
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadscope --no-loadscope-reorder -m $(OF_TEST)

test-system: $(VENV)/.browser  ## the tests that need Debian packages; installs them, as root
	sh tests/install_system_packages.sh
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder \
	  -m "system and not prove"

prove: $(VENV)/.test  ## the long proofs
	$(BIN)/python -m pytest -m prove

# SEED=, SAMPLE=, CHANGED=origin/main, ONLY=, KINDS=, ROOMS=, TESTS=, WITHIN= and PATIENCE= (seconds), KEEP=:
# see docs/explanation/mutants.md.
mutants: SEED ?= $(shell git rev-parse HEAD)
mutants: $(VENV)/.test  ## change the project in one place at a time, and see whether the tests notice
	$(BIN)/python -m tests.mutants --seed "$(SEED)" $(if $(SAMPLE),--sample $(SAMPLE)) \
	  $(foreach name,CHANGED ONLY KINDS ROOMS TESTS WITHIN PATIENCE KEEP,$(if $($(name)),\
	  --$(shell echo $(name) | tr A-Z a-z) "$($(name))"))

# Of TESTS=, kept under the name PART=: the records of all parts count together.
mutants-record: TESTS ?= tests/unit tests/properties tests/conformance tests/integration
mutants-record: PART ?= all
mutants-record: $(VENV)/.mutants  ## record which test runs which line, for the next make mutants
	mkdir -p $(VENV)/mutants
	$(BIN)/python -m coverage run --data-file=$(VENV)/mutants/$(PART).coverage --source=staging_api \
	  -m pytest -q -p tests.mutants.contexts -m $(OF_TEST) $(TESTS)

check: lint types contracts  ## lint, strict types and import contracts

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports --config setup.cfg

constraints: $(VENV)/.dev  ## pin what is installed now, for the next fresh install
	$(BIN)/pip freeze --exclude-editable | grep -v '^staging' > constraints.txt

openapi: $(VENV)/.test  ## write docs/openapi.json anew, after a change of the API
	$(BIN)/python -m tests.contract

docs: $(VENV)/.test  ## build the site of these pages: build/docs/index.html
	$(BIN)/python docs/pictures.py
	$(BIN)/python -m sphinx --quiet --fail-on-warning --builder html docs build/docs
	@echo build/docs/index.html

release: $(VENV)/.release  ## build wheel and source distribution into dist/ and check them; tag and upload nothing
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	PACKAGES=dist $(BIN)/python -m pytest tests/acceptance/test_packages.py

pictures: $(VENV)/.browser  ## take the pictures of the dashboard anew, with Debian's Chromium
	$(BIN)/python -m tests.browser.pictures

functions: $(VENV)/.test  ## after a change of staging_api/db/functions: write what migration STEP=0000 applies
	$(BIN)/python -m tests.functions $(STEP)

clean:  ## forget the virtual environment
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

define install
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(1)]'
	@touch $@
endef

$(VENV)/.run: setup.cfg constraints.txt | $(VENV)/bin/python
	$(call install,embedded)

$(VENV)/.test: setup.cfg constraints.txt | $(VENV)/bin/python
	$(call install,test)

$(VENV)/.browser: setup.cfg constraints.txt | $(VENV)/bin/python
	$(call install,browser)

$(VENV)/.dev: setup.cfg constraints.txt | $(VENV)/bin/python
	$(call install,test$(comma)dev)

# Even where nothing is missing, pip looks for a quarter of a minute at what fits together.
$(VENV)/.all: setup.cfg constraints.txt | $(VENV)/bin/python
	$(call install,browser$(comma)dev)
	@touch $(VENV)/.test $(VENV)/.browser $(VENV)/.dev

$(VENV)/.release: setup.cfg constraints.txt | $(VENV)/bin/python
	$(call install,test$(comma)release)

$(VENV)/.mutants: setup.cfg constraints.txt | $(VENV)/bin/python
	$(call install,mutants)

comma := ,
