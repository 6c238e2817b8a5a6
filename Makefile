# The same few commands for everyone, on a laptop and in CI. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
UV := .tools/bin/uv
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# An index that the machine sets up for pip serves uv too.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
# Without a home of one's own, caches stay inside the checkout.
ifeq ($(strip $(HOME)),)
export UV_CACHE_DIR ?= $(CURDIR)/.tools/uv-cache
export npm_config_cache ?= $(CURDIR)/.tools/npm-cache
endif

WEB_SOURCES := $(if $(wildcard web/package.json),$(shell find web -type f \
	-not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/test-results/*' -not -name '*.tsbuildinfo'))
WEB_STAMPS := $(if $(wildcard web/package.json),.stamps/web-built)

.PHONY: help
help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .stamps/project $(WEB_STAMPS) ## Make the virtual environment and build the web app (a second run does nothing).

$(UV): requirements/tools.txt
	@echo "setup: fetching uv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "setup: Python 3.11 or newer is needed (make setup PYTHON=/path/to/python3.11)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .tools \
		|| { echo "setup: python3 has no venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@.tools/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/tools.txt
	@touch $@

.stamps/packages: requirements/dev.txt | $(UV)
	@echo "setup: installing the locked Python packages"
	@mkdir -p .stamps
	@if [ "$$(uname -sm)" = "Darwin x86_64" ] && ! command -v cargo >/dev/null; then \
		echo 'setup: cryptography has no ready-made package for Macs with Intel processors; to build it: brew install rust' \
			'openssl@3, then OPENSSL_DIR="$$(brew --prefix openssl@3)" make setup' >&2; exit 1; fi
	@test -x $(BIN)/python || $(UV) venv -q --python $(PYTHON) $(VENV)
	@rm -f .stamps/project
	@$(UV) pip sync -q --require-hashes requirements/dev.txt
	@touch $@

.stamps/project: .stamps/packages pyproject.toml
	@echo "setup: installing stead itself, editable"
	@$(UV) pip install -q --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src/stead # guests start in sandboxes, where they cannot keep what they compile
	@touch $@

.stamps/web-packages: web/package-lock.json web/package.json
	@echo "setup: installing the locked npm packages"
	@command -v npm >/dev/null || { echo "setup: Node 20 or newer with npm is needed" >&2; exit 1; }
	@mkdir -p .stamps
	@cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.stamps/web-built: .stamps/web-packages $(WEB_SOURCES)
	@echo "setup: building the web app"
	@cd web && npm run --silent build -- --logLevel warn
	@touch $@

.PHONY: up
up: setup ## Run Stead on this machine: control plane, node and web app.
	@exec $(BIN)/stead up $(ARGS)

.PHONY: engines
engines: ## Install the real engines the tests use (PostgreSQL, Chromium, bubblewrap, ...), as root on Debian.
	@scripts/engines

.PHONY: test
test: setup ## Run the tests; ARGS="tests/unit -x" passes arguments on.
	@$(BIN)/python scripts/test.py $(ARGS)

.PHONY: check
check: setup ## Lint, format, strict types, import contracts, generated files, web checks.
	@$(BIN)/python scripts/check.py $(ARGS)

.PHONY: generate
generate: setup ## Write everything that is generated from the types.
	@$(BIN)/python scripts/generate.py

.PHONY: format
format: setup ## Format the Python code and fix what ruff can fix.
	@$(BIN)/ruff check -q --fix . || true
	@$(BIN)/ruff format .

.PHONY: guest
guest: setup ## Build the standalone guest into dist/: it runs in any Linux image, with or without Python or a C library.
	@$(BIN)/python scripts/guest.py $(ARGS)

.PHONY: wheel
wheel: setup ## Build a wheel with the web app into dist/.
	@$(BIN)/python -m hatchling build -t wheel

.PHONY: packages
packages: setup ## Build the guest as .deb and .rpm into dist/.
	@$(BIN)/python scripts/packages.py $(ARGS)

.PHONY: windows
windows: setup ## Build the guest for Windows as a zip into dist/; RUNTIME=PATH takes a Python for Windows into it.
	@$(BIN)/python scripts/windows.py $(if $(RUNTIME),--runtime "$(RUNTIME)") $(ARGS)

.PHONY: lock
lock: $(UV) ## Compile the requirements files anew from pyproject.toml.
	@scripts/lock

.PHONY: bench
bench: setup .stamps/bench ## Measure Stead beside its peers and write docs/benchmarks.md.
	@PYTHONPATH=tests .tools/bench/bin/python -m benchmarks $(ARGS)

# The peers have an environment of their own.
.stamps/bench: requirements/bench.txt | $(UV)
	@echo "bench: installing the locked peers"
	@test -x .tools/bench/bin/python || $(UV) venv -q --python $(PYTHON) .tools/bench
	@VIRTUAL_ENV=$(CURDIR)/.tools/bench $(UV) pip sync -q --require-hashes requirements/bench.txt
	@VIRTUAL_ENV=$(CURDIR)/.tools/bench $(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: fuzz
fuzz: setup .stamps/fuzz ## Fuzz the parsers of the wire for a while; ARGS="--seconds 600".
	@.tools/fuzz/bin/python scripts/fuzz.py $(ARGS)

.stamps/fuzz: requirements/fuzz.txt | $(UV)
	@echo "fuzz: installing the locked fuzzer"
	@test -x .tools/fuzz/bin/python || $(UV) venv -q --python $(PYTHON) .tools/fuzz
	@VIRTUAL_ENV=$(CURDIR)/.tools/fuzz $(UV) pip sync -q --require-hashes requirements/fuzz.txt
	@VIRTUAL_ENV=$(CURDIR)/.tools/fuzz $(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: clean
clean: ## Remove everything that these commands made.
	@rm -rf .venv .tools .stamps dist build web/node_modules web/dist .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis uv.lock
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
