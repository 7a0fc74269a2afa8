# Everything a person types. `make` alone lists it.
#
#   PORT=8420        the page's port                 DATA=<folder>   a data set instead of the synthetic survey
#   PYTHON=python3   which Python (3.11 or newer)    SEED=<number>   the synthetic survey's seed (fresh when not given)
#
# Nothing outside this folder is changed, except that `make test` run by root on Debian may install Chromium.

PORT ?= 8420
DATA ?=
SEED ?=
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# The page's port is an option of the sandbox. It must not reach `web`, which reads a variable of the same name.
unexport PORT DATA SEED

BIN := .venv/bin
LOCK := $(shell cksum requirements-dev.txt | cut -d' ' -f1)
SYNCED := .venv/synced-$(LOCK)
SANDBOX = $(BIN)/python -m sandbox
OPTIONS = --port '$(PORT)' $(if $(DATA),--data '$(DATA)') $(if $(SEED),--seed '$(SEED)')

.PHONY: help demo up down status tour test bench lint docs pictures clean lock
.DEFAULT_GOAL := help

help:
	@echo 'make demo      set up, start everything here and open the page; Ctrl-C stops it'
	@echo 'make up|down   the same in the background; `make status` says what runs'
	@echo 'make tour      play the whole story without a person'
	@echo 'make test      lint, types and every test (the browser and a real training too)'
	@echo 'make bench     measure the figures in README.md     make pictures  take its screenshots'
	@echo 'make lint      ruff and mypy only                   make lock      resolve the dependencies again'
	@echo 'make docs      write the pages that are made from the code (docs/commands.md, docs/access-matrix.md)'
	@echo 'make clean     remove everything a run leaves behind (var/, caches); the environment in .venv stays'

demo: $(SYNCED)
	@exec $(SANDBOX) demo $(OPTIONS)

up: $(SYNCED)
	@$(SANDBOX) up $(OPTIONS)

down:
	@if [ -x $(BIN)/python ]; then $(SANDBOX) down; fi

status: $(SYNCED)
	@$(SANDBOX) status

tour: $(SYNCED)
	@$(SANDBOX) tour $(if $(DATA),--data '$(DATA)') $(if $(SEED),--seed '$(SEED)')

test: $(SYNCED)
	@$(BIN)/python -m tests.chromium
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

lint: $(SYNCED)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(SYNCED)
	@$(BIN)/python -m benchmarks

docs: $(SYNCED)
	@$(BIN)/python -m bot docs

pictures: $(SYNCED)
	@$(BIN)/python -m tests.chromium
	@$(BIN)/python -m tests.browser.pictures

clean: down
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

lock: $(SYNCED)
	$(UV) pip compile --universal --python-version 3.11 --no-header --no-emit-index-url --quiet requirements-dev.in -o requirements-dev.txt
	$(UV) pip compile --universal --python-version 3.11 --no-header --no-emit-index-url --quiet -c requirements-dev.txt requirements.in -o requirements.txt

# --- setting up -------------------------------------------------------------------------------------------------
# uv reads its own variables and not pip's: an index chosen for pip, by variable or configuration file, is passed on,
# and of several the best match is taken, as pip does (every version is pinned).
pip_value = $(shell $(BIN)/python -m pip config list 2>/dev/null | sed -n "s/^[a-z:]*\.$(1)='\(.*\)'$$/\1/p" | tail -n 1)
UV = env UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$(call pip_value,index-url)}" UV_INDEX="$${UV_INDEX:-$(call pip_value,extra-index-url)}" \
	UV_FIND_LINKS="$${UV_FIND_LINKS:-$(call pip_value,find-links)}" \
	UV_INDEX_STRATEGY="$${UV_INDEX_STRATEGY:-unsafe-best-match}" $(BIN)/uv

.venv: $(SYNCED)

$(SYNCED): requirements-dev.txt
	@test -n "$(PYTHON)" || { echo 'No Python 3.11 or newer found. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version) (once; about 6 GB and some minutes with the default torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip sync --python $(BIN)/python --compile-bytecode requirements-dev.txt
	@rm -f .venv/synced-* && touch $@
