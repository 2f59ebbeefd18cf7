# `make help` lists what there is. Everything runs in .venv, which is made when it is missing or out of date.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.made-for-$(shell cat pyproject.toml images/agent/pyproject.toml images/data/pyproject.toml images/trainer/pyproject.toml images/tuner/pyproject.toml images/publisher/pyproject.toml | sha256sum | cut -c1-12)
PACKAGES := operator tests images/agent images/data images/trainer images/tuner images/publisher
# How many processes run the tests of tests/integration side by side, which wait most of the time.
WORKERS ?= 3
# Tests on clusters wait for what a busy machine brings late: one that fails is run once more, and the summary tells how it failed.
RERUN := --reruns 1 --reruns-delay 2 --rerun-show-tracebacks -rfER
PLANE_PROGRAMS := etcd kube-apiserver kube-controller-manager kube-scheduler kubectl helm kwok podlogs
STORE_PROGRAMS := versitygw fake-gcs-server rclone

export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench dashboard cluster cluster-down venv fmt lint typecheck imports unit test-agent test-data test-trainer test-tuner test-publisher \
	test-integration test-e2e crds verify image clean

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: venv  ## A cluster, the operator in it, real trainings to Done, and a summary of what they gave
	@$(RUN) -m tests.harness.demo

test: venv  ## All tests: lint, types, imports, generated files, unit, integration, e2e
	@$(MAKE) --no-print-directory lint typecheck imports verify
	@$(MAKE) --no-print-directory unit test-agent test-data test-trainer test-tuner test-publisher
	@$(MAKE) --no-print-directory test-integration
	@$(MAKE) --no-print-directory test-e2e

soak: venv  ## The trainer's, the agent's and the publisher's long tests; the storm over 180 jobs on fake nodes and 20 with real pods, told in docs/soak.md; Hyperband of R = 27 with real pods; 5 GB pulled beside rclone, told in docs/datasets.md; searches of real tasks, told in docs/automl-quality.md
	@cd images/trainer && ../../$(VENV)/bin/python -m pytest -p no:asyncio tests/test_distributed.py -m 'soak or not soak'
	@cd images/agent && ../../$(VENV)/bin/python -m pytest -p no:asyncio -m soak
	@cd images/publisher && ../../$(VENV)/bin/python -m pytest -p no:asyncio -m soak
	@$(RUN) -m tests.harness.binaries $(PLANE_PROGRAMS) >/dev/null
	@STORM_RESULT=out STORM_JOBS=180 $(RUN) -m pytest -s tests/integration/test_storm.py
	@$(RUN) -m tests.harness up --name test-e2e >/dev/null
	@[ -n "$$OPERATOR_IMAGE$$AGENT_IMAGE$$TRAINER_IMAGE" ] || $(RUN) -m tests.harness.images >/dev/null
	@STORM_RESULT=out STORM_JOBS=20 $(RUN) -m pytest -s tests/e2e/test_storm.py
	@$(RUN) -m tests.storm.scale docs/soak.md out/storm-on-fake-nodes.json out/storm-with-real-pods.json
	@$(RUN) -m pytest tests/e2e/test_experiments.py -m soak
	@$(RUN) -m tests.harness.binaries $(STORE_PROGRAMS) >/dev/null
	@$(RUN) -m pytest tests/integration/test_cli_mlflow.py tests/integration/test_handed_on.py tests/integration/test_search_scale.py -m soak
	@$(RUN) -m tests.bench.pull_speed --out out/pull-speed.json --document docs/datasets.md
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@$(RUN) -m pytest tests/unit/bench/test_tuning_tasks.py -m soak
	@$(RUN) -m tests.bench.recommendation --out out/recommendation.json --document docs/recommendation.md
	@$(RUN) -m tests.bench.tuning --out out/tuning.json --document docs/automl-quality.md

bench: venv  ## Measures speed on fake nodes, about three hours (BENCH="burst --jobs 500" for a part), into docs/performance.md
	@$(RUN) -m tests.harness.binaries $(PLANE_PROGRAMS) >/dev/null
	@$(RUN) -m tests.bench --out out/$(if $(BENCH),bench-part,bench).json $(BENCH)
	@[ -n "$(BENCH)" ] || $(RUN) -m tests.bench.report out/bench.json docs/performance.md

dashboard: venv  ## A busy cluster of fake nodes for four minutes, and docs/dashboard.png from its metrics
	@$(RUN) -m tests.integration.busycluster docs/dashboard.png

cluster: venv  ## Start the cluster that the demo uses (NODES=2 for two nodes, CLUSTER=context:NAME for yours)
	@$(RUN) -m tests.harness up

cluster-down: venv  ## Remove every cluster that was made here and what was started for it (the cache stays)
	@$(RUN) -m tests.harness down --all

venv: $(STAMP)

$(STAMP):
	@echo "Making $(VENV) (a minute or two) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=... names one)." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q && apt-get install -qy python3-venv; } \
		|| { echo "Python's venv module is needed (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --editable 'images/agent[s3,test]' \
		--editable 'images/data[test]' --editable 'images/trainer[test]' --editable 'images/tuner[test]' \
		--editable 'images/publisher[test]'
	@touch $@

fmt: venv  ## Format the code
	@$(VENV)/bin/ruff format $(PACKAGES)
	@$(VENV)/bin/ruff check --fix $(PACKAGES)

lint: venv  ## Format and lint checks
	@echo "== lint"
	@$(VENV)/bin/ruff format --check $(PACKAGES)
	@$(VENV)/bin/ruff check $(PACKAGES)

typecheck: venv  ## mypy, strict
	@echo "== types"
	@$(VENV)/bin/mypy -p trainyard -p tests.harness -p tests.storm -p tests.bench
	@cd images/agent && ../../$(VENV)/bin/mypy
	@cd images/data && ../../$(VENV)/bin/mypy
	@cd images/trainer && ../../$(VENV)/bin/mypy
	@cd images/tuner && ../../$(VENV)/bin/mypy
	@cd images/publisher && ../../$(VENV)/bin/mypy

imports: venv  ## Import contracts
	@echo "== imports go one way"
	@$(VENV)/bin/lint-imports

unit: venv  ## Unit tests
	@echo "== unit"
	@$(RUN) -m pytest tests/unit -n 2

test-agent: venv  ## Tests of the agent
	@echo "== agent"
	@$(RUN) -m tests.harness.binaries versitygw >/dev/null
	@cd images/agent && ../../$(VENV)/bin/python -m pytest -p no:asyncio

test-data: venv  ## Tests of the data image
	@echo "== data"
	@cd images/data && ../../$(VENV)/bin/python -m pytest -p no:asyncio

test-trainer: venv  ## Tests of the reference trainer
	@echo "== trainer"
	@cd images/trainer && ../../$(VENV)/bin/python -m pytest -p no:asyncio

test-tuner: venv  ## Tests of the tuner image
	@echo "== tuner"
	@cd images/tuner && ../../$(VENV)/bin/python -m pytest -p no:asyncio

test-publisher: venv  ## Tests of the publisher
	@echo "== publisher"
	@$(RUN) -m tests.harness.binaries versitygw registry >/dev/null
	@cd images/publisher && ../../$(VENV)/bin/python -m pytest -p no:asyncio

test-integration: venv  ## Tests on a real API server, as processes
	@echo "== integration"
	@# NB: before pytest, whose time limits are for tests: on a fresh machine this is minutes of compiling.
	@$(RUN) -m tests.harness.binaries $(PLANE_PROGRAMS) $(STORE_PROGRAMS) coscheduling >/dev/null
	@$(RUN) -m tests.harness.prometheus >/dev/null
	@$(RUN) -m tests.harness.azurite >/dev/null
	@$(RUN) -m pytest tests/integration -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=20 $(RERUN)

test-e2e: venv  ## Tests with real pods on a real kind cluster
	@echo "== e2e"
	@$(RUN) -m tests.harness up --name test-e2e >/dev/null
	@[ -n "$$OPERATOR_IMAGE$$AGENT_IMAGE$$TRAINER_IMAGE" ] || $(RUN) -m tests.harness.images >/dev/null
	@$(RUN) -m pytest tests/e2e --durations=20 $(RERUN)

crds: venv  ## Generate crds/ and the chart's from the models
	@$(RUN) -m trainyard.crdgen crds charts/trainyard/crds
	@$(RUN) -m trainyard.catalog.reference_schemas images/trainer/src/trainyard_trainer/schemas
	@$(RUN) -m trainyard.catalog.reference_schemas --entry reference-data images/data/src/trainyard_data/schemas

verify: venv  ## Fail when a generated file is not what would be generated
	@echo "== generated files"
	@$(RUN) -m trainyard.crdgen --check crds charts/trainyard/crds
	@$(RUN) -m trainyard.catalog.reference_schemas --check images/trainer/src/trainyard_trainer/schemas
	@$(RUN) -m trainyard.catalog.reference_schemas --check --entry reference-data images/data/src/trainyard_data/schemas

image: venv  ## Build the images
	@$(RUN) -m tests.harness.images

clean:  ## Remove what make made in this folder
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis
