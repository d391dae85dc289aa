# Run the targets in a checkout on Debian 12; `install` as root, once. See README.md.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
python := .venv/bin/python

.PHONY: help install lab-up lab-down lab-status lint test test-lab test-results test-units test-slow docker-test demo bench soak faults docs lock

help:  ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install:  ## Debian packages, .venv, apptainer, container images of the lab
	@tests/lab/install/install.sh

lab-up:  ## start the lab: Slurm, sshd, PostgreSQL, OMERO, OMERO.web
	@$(python) -m tests.lab up

lab-down:  ## stop the lab
	@$(python) -m tests.lab down

lab-status:  ## show how each part of the lab is
	@$(python) -m tests.lab status

lint:  ## style, types, floors, docstrings
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/numpydoc lint $$(git ls-files 'worker/*.py')
	shellcheck $$(git ls-files '*.sh' .ci/run)

test: install lint  ## everything: install, lint, and all tests against the lab but the exhaustive ones
	@# Tests on the lab wait most of the time. Half of them, those of pixels, files and results, have a lab of their own
	@# beside it; the tests that need none use what is left of the cores.
	@$(MAKE) --no-print-directory -j 3 test-lab test-results test-units

results := $(patsubst %,tests/system/test_%.py,attachments batches choices export exactly_once fetching get_* identity import* in_place_* provenance transfers)

test-lab:
	.venv/bin/pytest -m "lab and not docker and not slow" --durations=20 $(foreach file,$(results),'--ignore-glob=$(file)')

test-results: export OMERO_WORKER_LAB := $(or $(OMERO_WORKER_LAB),/var/tmp/omero-worker-lab)-results
test-results:
	.venv/bin/pytest -m "lab and not docker and not slow" --durations=20 -o cache_dir=.pytest_cache/results $(results)

test-units:
	.venv/bin/pytest -m "not lab and not docker and not slow" -o cache_dir=.pytest_cache/units

test-slow: install  ## the exhaustive tests: an import that is killed at each of its writes
	.venv/bin/pytest -m slow

docker-test: install  ## build the image and run it on a real grid (slow; root, Docker Engine)
	.venv/bin/pytest -m docker tests/docker

demo: install lab-up  ## one analysis from the dialog to the results, as a person sees it
	@$(python) -m tests.demo

bench: install lab-up  ## measure
	@$(python) -m tests.bench

soak: install lab-up  ## many runs with an engine that is killed every 30 s: make soak RUNS=1000
	@$(python) -m tests.soak --runs $(or $(RUNS),1000)

faults: install lab-up  ## everything that can go wrong, at every boundary of a run: make faults [KIND=in-place] [SEED=7] [ONLY='ssh-cut'] [EVERYWHERE=1]
	@$(python) -m tests.faults $(if $(KIND),--kind '$(KIND)') $(if $(EVERYWHERE),--everywhere) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only '$(ONLY)')

docs:  ## write config/slurm-config.ini and docs/configuration.md from the models of the settings
	@$(python) -m worker.settings.sample --write

lock:  ## regenerate requirements.lock (the container's) and requirements-dev.lock
	@tests/lab/install/lock.sh
